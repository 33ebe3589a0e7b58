"""mcdrop: uncertainty for trained PyTorch models by Monte Carlo dropout.

    mc = mcdrop.MCDropout(model, task="classification")
    pred = mc.predict(x)
    pred.mean, pred.std, pred.mutual_information

Names are imported when they are first used, so that `import mcdrop` loads only torch and numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

__version__: Final = "0.1.0"

if TYPE_CHECKING:
    from mcdrop import errors, injection, nn, zoo
    from mcdrop.calibrating import calibrate
    from mcdrop.evaluation import Report, evaluate
    from mcdrop.injection import inject
    from mcdrop.inspection import Inspection, inspect
    from mcdrop.loading import load
    from mcdrop.mcdropout import MCDropout
    from mcdrop.predictive import Predictive, load_predictions
    from mcdrop.rates import with_rates
    from mcdrop.report.files import write_report
    from mcdrop.tabulated import as_predictions
    from mcdrop.tuning import TunedRates, tune_rates

__all__ = [
    "Inspection",
    "MCDropout",
    "Predictive",
    "Report",
    "TunedRates",
    "as_predictions",
    "calibrate",
    "errors",
    "evaluate",
    "inject",
    "injection",
    "inspect",
    "load",
    "load_predictions",
    "nn",
    "tune_rates",
    "with_rates",
    "write_report",
    "zoo",
]

_HOMES: Final = {
    "Inspection": "mcdrop.inspection",
    "MCDropout": "mcdrop.mcdropout",
    "Predictive": "mcdrop.predictive",
    "Report": "mcdrop.evaluation",
    "TunedRates": "mcdrop.tuning",
    "as_predictions": "mcdrop.tabulated",
    "calibrate": "mcdrop.calibrating",
    "errors": "mcdrop.errors",
    "evaluate": "mcdrop.evaluation",
    "inject": "mcdrop.injection",
    "injection": "mcdrop.injection",
    "inspect": "mcdrop.inspection",
    "load": "mcdrop.loading",
    "load_predictions": "mcdrop.predictive",
    "nn": "mcdrop.nn",
    "tune_rates": "mcdrop.tuning",
    "with_rates": "mcdrop.rates",
    "write_report": "mcdrop.report.files",
    "zoo": "mcdrop.zoo",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mcdrop' has no attribute {name!r}")
    module = import_module(_HOMES[name])
    return module if _HOMES[name] == f"mcdrop.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
