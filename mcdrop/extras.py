"""Optional packages: the one place where they are imported.

The base install is enough for everything but a few doors (data frames, parquet files, Hugging Face models,
...). What lies behind such a door asks for its package here, at the moment it is needed, and who lacks it
is told what to install.
"""

from importlib import import_module
from types import ModuleType

from mcdrop.errors import MissingExtraError

__all__ = ["require"]


def require(module: str, *, extra: str) -> ModuleType:
    """The optional module of that name, imported now.

    Args:
        module: Its full name, such as `pyarrow.parquet`.
        extra: The extra of mcdrop that installs it.

    Raises:
        MissingExtraError: If the module, or something that it needs, is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        todo = f"install it with: pip install 'mcdrop[{extra}]'"
        raise MissingExtraError(f"{package} is needed and cannot be imported ({error}); {todo}") from error
