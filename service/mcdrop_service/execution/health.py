"""Whether a model is fit to be asked.

A request on which a model fails may itself be the fault. So after each such request the model is asked for a
row of zeros, as when it was loaded; if it fails on that too, it is a strike. After three strikes with no
answer between them it is not asked any more, until it has answered zeros again.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

__all__ = ["AGAIN_S", "STRIKES", "Health"]

logger = logging.getLogger("mcdrop_service")

STRIKES: Final = 3
AGAIN_S: Final = 1.0
"""How long a model that is not fit is left alone before it is tried again."""


class Health:
    """Of one version of a model. Changed in the worker thread only, read anywhere.

    Args:
        name: Of the model, for the log.
        probe: Asks the model for a row of zeros; raises what the model raises.
    """

    def __init__(self, name: str, probe: Callable[[], object]) -> None:
        self._name = name
        self._probe = probe
        self._strikes = 0
        self._tried_s = 0.0

    @property
    def fit(self) -> bool:
        """Whether it may be asked."""
        return self._strikes < STRIKES

    def answered(self) -> None:
        """It answered a request."""
        self._strikes = 0

    def failed(self) -> None:
        """It failed on a request that was alone."""
        before = self.fit
        self._try()
        if before and not self.fit:
            logger.error("the model %s failed %d times, on zeros too: not ready", self._name, STRIKES)

    def due(self) -> bool:
        """Whether it is not fit, and is to be tried again now; once each time."""
        if self.fit or time.monotonic() < self._tried_s + AGAIN_S:
            return False
        self._tried_s = time.monotonic()
        return True

    def try_again(self) -> None:
        """Ask for zeros; whatever happens stays here."""
        self._try()
        if self.fit:
            logger.info("the model %s answers again", self._name)

    def _try(self) -> None:
        self._tried_s = time.monotonic()
        try:
            self._probe()
        except BaseException:  # noqa: BLE001  a model can raise anything, SystemExit too
            self._strikes += 1
        else:
            self._strikes = 0
