"""What a forward pass changes of the Python objects of a model is seen, wherever it is."""

import itertools
from collections import OrderedDict, deque
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mcdrop.engine import attributes as module
from mcdrop.engine.attributes import attributes, unchanged

GLOBAL = {"passes": 0}


class Slotted:
    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Holder(nn.Module):
    shared = [0]

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.zeros(2))
        self.number, self.array, self.iterator = 1, np.zeros(3), itertools.count()
        self.nested = OrderedDict(a=[{"b": (1, deque([2]))}])
        self.thing, self.slotted = SimpleNamespace(seen=set[int]()), Slotted()
        held = [0]
        self.function = lambda: held
        self.part: Any = partial(dict, found=[])
        self.method = self.thing.seen.add
        self.child = nn.Dropout(0.5)


CHANGES: dict[str, Callable[[Any], Any]] = {
    "a number": lambda m: setattr(m, "number", 2),
    "its type": lambda m: setattr(m, "number", True),
    "a new attribute": lambda m: setattr(m, "new", None),
    "a flag of a child": lambda m: m.child.train(False),
    "an array": lambda m: m.array.fill(1),
    "an iterator": lambda m: next(m.iterator),
    "a nested container": lambda m: m.nested["a"][0]["b"][1].append(3),
    "an object": lambda m: m.thing.seen.add(1),
    "a slot": lambda m: setattr(m.slotted, "count", 1),
    "a closure": lambda m: m.function().append(1),
    "a partial function": lambda m: m.part.keywords["found"].append(1),
    "a write to a tensor": lambda m: m.table.add_(0),
    "another tensor": lambda m: setattr(m, "table", m.table.clone()),
    "the class": lambda m: type(m).shared.append(1),
    "a global": lambda _: GLOBAL.update(passes=GLOBAL["passes"] + 1),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_seen(name: str) -> None:
    model = Holder()
    before = attributes(model)
    assert unchanged(before, attributes(model))
    CHANGES[name](model)
    assert not unchanged(before, attributes(model))


def test_what_is_too_much_to_look_at_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 20)
    with pytest.raises(ValueError, match="more than 20 attributes"):
        attributes(Holder())
