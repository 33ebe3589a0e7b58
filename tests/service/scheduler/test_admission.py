"""The forecast: what it learns, and how much it remembers."""

from mcdrop_service.scheduler.admission import MOST_KEYS, Forecast


def test_a_forecast_follows_what_was_measured_and_counts_full_batches() -> None:
    forecast = Forecast()
    assert forecast.units_s("model", 100, 4) == 0
    forecast.learn("model", 1.0)
    forecast.learn("model", 2.0)
    assert forecast.batch_s("model") == 1.2
    assert forecast.units_s("model", 9, 4) == 3 * 1.2


def test_a_forecast_counts_the_making_of_answers_by_their_units() -> None:
    forecast = Forecast()
    forecast.learn("model", 1.0)
    forecast.learn_answers("model", 8, 2.0)
    assert forecast.units_s("model", 9, 4) == 3 + 9 / 4


def test_keys_that_were_not_measured_for_long_are_forgotten() -> None:
    forecast = Forecast()
    for key in range(MOST_KEYS):
        forecast.learn(key, 1.0)
    forecast.learn(0, 1.0)
    forecast.learn("one more", 1.0)
    assert forecast.batch_s(0) == 1.0
    assert forecast.batch_s(1) == 0.0
