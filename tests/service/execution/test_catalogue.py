"""What is served: which version is meant, exchange as a whole, and bounded memory."""

from dataclasses import replace
from typing import cast

import pytest
from mcdrop_service.errors import NotFoundError
from mcdrop_service.execution import Lane, Servable
from mcdrop_service.execution.catalogue import MAX_LANES, Catalogue, Served

from tests.service.fake_server import FakeModel
from tests.service.models import facts


def served(version: str) -> Served:
    return Served(cast("Servable", FakeModel(broken=False)), replace(facts(), version=version))


def test_without_a_model_it_says_so() -> None:
    with pytest.raises(NotFoundError, match="unknown model 'toy'; this service has none"):
        Catalogue().versions("toy")


def test_the_highest_version_is_meant_unless_one_is_named() -> None:
    catalogue = Catalogue()
    catalogue.exchange("toy", [served("10"), served("9"), served("1")])
    assert catalogue.versions("toy") == ("1", "9", "10")
    assert catalogue.find("toy").facts.version == "10"
    assert catalogue.find("toy", "9").facts.version == "9"


def test_versions_are_exchanged_as_a_whole_and_none_takes_the_model_away() -> None:
    catalogue = Catalogue()
    catalogue.exchange("toy", [served("1"), served("2")])
    catalogue.exchange("other", [served("1")])
    catalogue.exchange("toy", [served("3")])
    assert catalogue.versions("toy") == ("3",)
    assert [each.facts.version for each in catalogue.all] == ["3", "1"]
    catalogue.exchange("toy", [])
    assert catalogue.names == ("other",)
    with pytest.raises(NotFoundError, match="unknown model 'toy'; this service has other"):
        catalogue.find("toy")


@pytest.mark.parametrize("version", ["2", "01", "", "latest"])
def test_a_version_that_is_not_there_is_refused(version: str) -> None:
    catalogue = Catalogue()
    catalogue.exchange("toy", [served("1")])
    with pytest.raises(NotFoundError, match=r"toy has no version .*; it has 1"):
        catalogue.find("toy", version)


def test_a_version_follows_what_was_served_under_its_number_or_else_the_highest() -> None:
    catalogue, old = Catalogue(), {version: served(version) for version in ("1", "2")}
    for serial, each in enumerate(old.values()):
        each.remember("signature", Lane(1, 1, mixes=True, serial=serial))
    catalogue.exchange("toy", [*old.values()])
    catalogue.exchange("toy", [served(version) for version in ("1", "2", "3")])
    assert [each.before["signature"] for each in catalogue.all] == [0, 1, 1]


def test_signatures_are_remembered_up_to_a_bound_and_the_oldest_forgotten() -> None:
    model = served("1")
    for signature in range(MAX_LANES + 10):
        model.remember(signature, Lane(1, 1, mixes=True))
    assert len(model.lanes) == MAX_LANES
    follower = served("1")
    follower.follow(model)
    follower.remember("one more", Lane(1, 1, mixes=True))
    follower.follow(follower)
    assert (len(follower.before), "one more" in follower.before) == (MAX_LANES, True)
    assert 9 not in model.lanes
    assert MAX_LANES + 9 in model.lanes
