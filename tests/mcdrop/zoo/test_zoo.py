"""What every entry of the zoo keeps: it can be made again from JSON, takes raw inputs and has dropout."""

import copy
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mcdrop import zoo
from mcdrop.errors import OptionError
from tests.support.tolerances import EXACT, FLOAT32

RAW_INPUTS = {
    "diabetes_mlp": torch.rand(5, 10, generator=torch.Generator().manual_seed(0)) * 200,
    "digits_cnn": torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 16,
}
OUTPUT_SHAPES = {"diabetes_mlp": (5, 1), "digits_cnn": (5, 10)}
every_entry = pytest.mark.parametrize("name", zoo.names())


@pytest.fixture(autouse=True)
def _same_initial_weights() -> None:
    torch.manual_seed(0)


def outputs(model: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        result: Tensor = model.eval()(x)
    return result


def test_names_are_sorted_and_each_is_tested() -> None:
    assert list(zoo.names()) == sorted(zoo.names()) == sorted(RAW_INPUTS)


@every_entry
def test_raw_inputs_give_outputs_of_the_stated_shape(name: str) -> None:
    result = outputs(zoo.create(name), RAW_INPUTS[name])
    assert result.shape == OUTPUT_SHAPES[name]
    assert result.dtype == torch.float32
    assert result.isfinite().all()


@every_entry
def test_a_row_does_not_depend_on_its_neighbours(name: str) -> None:
    model, x = zoo.create(name), RAW_INPUTS[name]
    torch.testing.assert_close(outputs(model, x[2:3]), outputs(model, x)[2:3], **FLOAT32)


@every_entry
def test_train_mode_is_random_and_eval_mode_is_not(name: str) -> None:
    model, x = zoo.create(name), RAW_INPUTS[name]
    torch.testing.assert_close(outputs(model, x), outputs(model, x), **EXACT)
    assert not torch.equal(model.train()(x), model(x))


@every_entry
def test_the_entry_survives_json_and_makes_a_model_for_the_same_weights(name: str) -> None:
    model = zoo.create(name, p=0.25)
    entry = zoo.entry_of(model)
    assert entry is not None
    again = zoo.create(entry.name, **json.loads(json.dumps(dict(entry.arguments))))
    again.load_state_dict(model.state_dict())
    torch.testing.assert_close(outputs(again, RAW_INPUTS[name]), outputs(model, RAW_INPUTS[name]), **EXACT)


@every_entry
def test_the_entry_holds_defaults_too(name: str) -> None:
    entry = zoo.entry_of(zoo.create(name, p=0.25))
    assert entry is not None
    assert entry.arguments["p"] == 0.25
    assert "hidden" in entry.arguments


@every_entry
def test_copies_keep_their_entry(name: str, tmp_path: Path) -> None:
    model = zoo.create(name)
    torch.save(model, tmp_path / "model.pt")
    loaded = torch.load(tmp_path / "model.pt", weights_only=False)
    assert zoo.entry_of(copy.deepcopy(model)) == zoo.entry_of(loaded) == zoo.entry_of(model)


def test_a_model_from_elsewhere_has_no_entry() -> None:
    assert zoo.entry_of(nn.Linear(2, 2)) is None


def test_a_digit_is_classified_the_same_in_any_unit_that_its_buffers_know() -> None:
    model, shades, x = zoo.DigitsCNN(), zoo.DigitsCNN(), RAW_INPUTS["digits_cnn"]
    shades.load_state_dict(model.state_dict())
    shades.pixels.std.fill_(255 / 16)
    torch.testing.assert_close(outputs(shades, x * 255 / 16), outputs(model, x), **FLOAT32)


def test_a_feature_map_is_dropped_as_a_whole() -> None:
    model = zoo.create("digits_cnn", channel_p=0.5)
    drop = next(layer for layer in model.modules() if isinstance(layer, nn.Dropout2d))
    kept = drop.train()(torch.ones(3, 32, 4, 4))
    assert set(kept.flatten().tolist()) == {0.0, 2.0}
    torch.testing.assert_close(kept, kept[:, :, :1, :1].expand_as(kept), **EXACT)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(OptionError, match="the zoo has diabetes_mlp, digits_cnn; got 'resnet'"):
        zoo.create("resnet")


def test_an_unknown_argument_is_answered_with_the_known_ones() -> None:
    with pytest.raises(OptionError, match="diabetes_mlp takes hidden, p; got 'depth'"):
        zoo.create("diabetes_mlp", depth=3)
