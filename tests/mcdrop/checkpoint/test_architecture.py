"""Only what the operator allowed is called, and the global generator does not move."""

import pytest
import torch

from mcdrop import zoo
from mcdrop.checkpoint import Architecture, build
from mcdrop.checkpoint.architecture import build_outline
from mcdrop.errors import CheckpointError
from tests.support.architectures import ALLOWED, Tied

HOME = "tests.support.architectures"


def factory(name: str, **arguments: object) -> Architecture:
    """An architecture made by a function of a package."""
    return Architecture(source="factory", name=name, arguments=arguments)


@pytest.mark.parametrize("name", zoo.names())
def test_everything_in_the_zoo_is_built_and_has_an_outline(name: str) -> None:
    architecture = Architecture(source="zoo", name=name)
    model, outline = build(architecture), build_outline(architecture)
    assert outline is not None
    assert all(tensor.is_meta for tensor in outline.state_dict().values())
    assert {key: value.shape for key, value in model.state_dict().items()} == {
        key: value.shape for key, value in outline.state_dict().items()
    }


def test_building_leaves_the_global_generator_where_it_was() -> None:
    before = torch.get_rng_state()
    build(Architecture(source="zoo", name="digits_cnn"))
    assert torch.equal(torch.get_rng_state(), before)


def test_an_unknown_name_lists_the_zoo() -> None:
    with pytest.raises(CheckpointError, match=r"'resnet' is not in the zoo, which has: .*digits_cnn"):
        build(Architecture(source="zoo", name="resnet"))


def test_wrong_arguments_say_what_the_architecture_said() -> None:
    with pytest.raises(CheckpointError, match=r"'digits_cnn' cannot be built; it raised .*depth"):
        build(Architecture(source="zoo", name="digits_cnn", arguments={"depth": 3}))


def test_a_factory_of_an_allowed_package_is_called_with_its_arguments() -> None:
    model = build(factory(f"{HOME}:tied", width=5), allow=[ALLOWED])
    assert isinstance(model, Tied)
    assert model.first.weight.shape == (5, 5)


def test_a_class_is_a_factory_too() -> None:
    assert isinstance(build(factory(f"{HOME}:Tied"), allow=[ALLOWED]), Tied)


def test_a_package_that_was_not_allowed_is_not_even_imported() -> None:
    with pytest.raises(CheckpointError, match=r"package 'no_such' is not allowed .*allowed: mine, tests"):
        build(factory("no_such.models:make"), allow=["tests", "mine"])


def test_allowing_a_package_does_not_allow_what_it_imports() -> None:
    with pytest.raises(CheckpointError, match="package 'mcdrop' is not allowed"):
        build(factory("tests.support.checkpoints:write_checkpoint"), allow=[ALLOWED])


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (f"{HOME}:missing", "cannot be imported"),
        ("tests.no_such_module:make", "cannot be imported"),
        (f"{HOME}:a_number", "must be callable, got int"),
        (f"{HOME}:not_a_module", r"must make a torch\.nn\.Module, got str"),
        (f"{HOME}:exploding", "cannot be built; it raised KeyError"),
    ],
)
def test_a_factory_that_does_not_work_says_why(name: str, problem: str) -> None:
    with pytest.raises(CheckpointError, match=problem):
        build(factory(name), allow=[ALLOWED])


@pytest.mark.parametrize(
    "name", ["os", "os:", ":system", "os.system", "os:path.join", "../x:y", "a b:c", "os:a:b"]
)
def test_a_factory_has_a_module_and_a_function(name: str) -> None:
    with pytest.raises(CheckpointError, match=r"must be named package\.module:function"):
        build(factory(name), allow=["os"])
