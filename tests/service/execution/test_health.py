"""Three strikes: which failures count, and how a model comes back."""

from types import SimpleNamespace

import pytest
from mcdrop_service.execution import health
from mcdrop_service.execution.health import STRIKES, Health


class Zeros:
    """Fails for as many times as it is told."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    def __call__(self) -> None:
        if self.failures:
            self.failures -= 1
            raise SystemExit


def failing(failures: int, times: int) -> Health:
    found = Health("toy", Zeros(failures))
    for _ in range(times):
        found.failed()
    return found


def test_a_request_on_which_a_model_fails_is_no_strike_while_it_answers_zeros() -> None:
    assert failing(0, 10).fit


def test_three_strikes_and_it_is_not_asked() -> None:
    assert failing(STRIKES, STRIKES - 1).fit
    assert not failing(STRIKES, STRIKES).fit


def test_an_answer_between_them_wipes_strikes_out() -> None:
    found = failing(10, STRIKES - 1)
    found.answered()
    found.failed()
    assert found.fit


def test_it_is_tried_again_now_and_then_and_fit_when_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(monotonic=lambda: 0.0)
    monkeypatch.setattr(health, "time", clock)
    found = failing(STRIKES + 1, STRIKES)
    dues = [found.due()]  # it has just been tried
    clock.monotonic = lambda: health.AGAIN_S
    dues += [found.due(), found.due()]  # once each time
    fits = []
    for _ in range(2):
        found.try_again()
        fits.append(found.fit)
    assert (dues, fits, found.due()) == ([False, True, False], [False, True], False)
