"""The benchmark of limits, small: its data, and what it says of dropout in a gap and with more data."""

import torch

from benchmarks import limits


def test_the_data_lie_where_they_should() -> None:
    x, y = limits.sine(500, 0, gap=True)
    assert ((x.abs() >= 1) & (x.abs() <= 3)).all()
    assert limits.sine(500, 0, gap=False)[0].abs().min() < 0.1
    assert 0.5 * limits.NOISE < (y - torch.sin(2 * x)).std() < 2 * limits.NOISE


def test_training_is_the_same_each_time_and_leaves_the_global_generator() -> None:
    before = torch.random.get_rng_state()
    first, second = (
        limits.trained(*limits.sine(50, 0, gap=False), p=0.1, seed=0, steps=20) for _ in range(2)
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    places = torch.linspace(-3, 3, 5).unsqueeze(1)
    assert torch.equal(first(places), second(places))
    assert limits.dropout_outputs(first, places).shape == (256, 5)


def test_more_data_do_not_shrink_the_spread_of_dropout() -> None:
    few, many = (limits.learning(rows, seeds=range(2), steps=400) for rows in (50, 3200))
    assert many.dropout_std > 0.5 * few.dropout_std  # an eighth would be the square root of the rows
    assert many.dropout_error < few.dropout_error


def test_foreign_images_are_images_and_noise_is_told_apart() -> None:
    images = limits.foreign_images()
    assert all(each.shape == (360, 1, 8, 8) for each in images.values())
    assert all(0 <= each.min() <= each.max() <= 16 for each in images.values())
    found = limits.foreign(images["digits, pixels shuffled"])
    assert min(found) > 0.6
