"""The phase of the process moves forward only."""

from mcdrop_service.web.lifecycle import Lifecycle, Phase


def test_models_that_are_warm_after_a_signal_to_stop_make_nothing_ready() -> None:
    lifecycle = Lifecycle()
    lifecycle.drain()
    lifecycle.serve()
    assert lifecycle.phase is Phase.DRAINING


def test_what_has_failed_stays_failed() -> None:
    lifecycle = Lifecycle()
    lifecycle.serve()
    lifecycle.fail("the worker died")
    lifecycle.drain()
    lifecycle.serve()
    assert (lifecycle.phase, lifecycle.failure) == (Phase.FAILED, "the worker died")
