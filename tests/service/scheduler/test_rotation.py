"""Whose turn it is, where turns cost unlike amounts."""

from mcdrop_service.scheduler.rotation import Rotation


def turns(costs: dict[str, float], number: int) -> list[str]:
    """Who comes first, and next, if each is charged what its turn costs."""
    rotation: Rotation[str] = Rotation(1.0)
    for member in costs:
        rotation.add(member)
    return [rotation.turn(costs.__getitem__) for _ in range(number)]


def test_who_can_just_afford_a_turn_has_it() -> None:
    assert turns({"a": 1.0, "b": 0.5}, 4) == ["a", "b", "b", "a"]


def test_a_turn_of_several_rounds_comes_once_in_as_many() -> None:
    assert turns({"dear": 3.0, "cheap": 1.0}, 8) == [*["cheap"] * 2, "dear", *["cheap"] * 3, "dear", "cheap"]


def test_what_a_member_had_saved_is_lost_when_it_leaves() -> None:
    rotation: Rotation[str] = Rotation(1.0)
    for member in ("a", "b"):
        rotation.add(member)
    assert rotation.turn({"a": 2.0, "b": 1.0}.__getitem__) == "b"  # a has saved 2
    rotation.remove("a")
    rotation.add("a")
    assert rotation.turn({"a": 2.0, "b": 1.0}.__getitem__) == "b"
