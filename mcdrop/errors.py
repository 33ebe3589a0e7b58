"""Every error that mcdrop raises on purpose: one tree, each also a builtin.

McdropError
├── ShapeError (ValueError)             a tensor has another shape than was wanted
├── DomainError (ValueError)            a value lies outside its range: NaN, a probability of 1.2, p = 1
├── OptionError (ValueError)            an option or a combination of options that does not exist
├── InputError (TypeError)              an input of a kind that cannot be sampled or read
├── NothingRandomError (ValueError)     no dropout fires, so every pass would be the same
├── UnsupportedModelError (ValueError)  the model draws or couples rows in a way that cannot be replayed
├── SamplesNotKeptError (RuntimeError)  samples were dropped and are needed now
├── NotFittedError (RuntimeError)       a calibrator or tau is needed and was not fitted
├── TooFewRowsError (ValueError)        not enough rows for what was asked
├── TooLittleMemoryError (MemoryError)  the smallest step of the work does not fit in memory
├── CheckpointError (ValueError)        a checkpoint is damaged, unsafe, or not one
├── DataFileError (ValueError)          a data file cannot be read or misses a column
└── MissingExtraError (ImportError)     an optional dependency is not installed
"""

__all__ = [
    "CheckpointError",
    "DataFileError",
    "DomainError",
    "InputError",
    "McdropError",
    "MissingExtraError",
    "NotFittedError",
    "NothingRandomError",
    "OptionError",
    "SamplesNotKeptError",
    "ShapeError",
    "TooFewRowsError",
    "TooLittleMemoryError",
    "UnsupportedModelError",
]


class McdropError(Exception):
    """The root: catch this to catch everything that mcdrop raises on purpose."""


class ShapeError(McdropError, ValueError):
    """A tensor has another shape than was wanted."""


class DomainError(McdropError, ValueError):
    """A value lies outside the range that its meaning allows."""


class OptionError(McdropError, ValueError):
    """An option, or a combination of options, that does not exist."""


class InputError(McdropError, TypeError):
    """An input of a kind that cannot be sampled or read."""


class NothingRandomError(McdropError, ValueError):
    """No dropout fires in the model, so that every pass would be the same."""


class UnsupportedModelError(McdropError, ValueError):
    """The model draws, or couples its rows, in a way that cannot be replayed."""


class SamplesNotKeptError(McdropError, RuntimeError):
    """The samples were dropped after the prediction and are needed now."""


class NotFittedError(McdropError, RuntimeError):
    """A calibrator, or the noise precision tau, is needed and was not fitted."""


class TooFewRowsError(McdropError, ValueError):
    """There are not enough rows for what was asked."""


class TooLittleMemoryError(McdropError, MemoryError):
    """The smallest step of the work does not fit in memory, or in the budget that was given."""


class CheckpointError(McdropError, ValueError):
    """A checkpoint is damaged, unsafe, or not a checkpoint."""


class DataFileError(McdropError, ValueError):
    """A data file cannot be read, or misses what was asked of it."""


class MissingExtraError(McdropError, ImportError):
    """An optional dependency is needed and not installed."""
