"""Optional packages: the one place where they are imported.

The base install is enough for everything but a few doors (data frames, parquet files, Hugging Face models,
...). What lies behind such a door asks for its package here, at the moment it is needed, and who lacks it
is told what to install. So does what needs a slow package of the base install only when it is asked to.
"""

from importlib import import_module
from types import ModuleType

from mcdrop.errors import MissingExtraError

__all__ = ["require"]


def require(module: str, *, extra: str | None = None) -> ModuleType:
    """The optional module of that name, imported now.

    Args:
        module: Its full name, such as `pyarrow.parquet`.
        extra: The extra of mcdrop that installs it; None for what the base install has.

    Raises:
        MissingExtraError: If the module, or something that it needs, is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        wanted = "mcdrop" if extra is None else f"mcdrop[{extra}]"
        todo = f"install it with: pip install '{wanted}'"
        raise MissingExtraError(f"{package} is needed and cannot be imported ({error}); {todo}") from error
