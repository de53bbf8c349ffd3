"""Desired states between this disk and the registry: the newer one wins, nothing that was decided is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from blueprints.errors import ExitCode, Problem
from mlops.serving.control.desired import GONE_SECONDS, LOST_SECONDS, Desired, Moved
from mlops.serving.rollout import machine
from mlops.serving.rollout.state import Deployment
from mlops.serving.rollout.strategy import parse
from tests.mlops.serving.control_parts import Registry, registry


@pytest.fixture
def away() -> Iterator[Registry]:
    with registry() as made:
        yield made


def champion(version: str, revision: int, updated: float = 1.0) -> Deployment:
    return Deployment(revision=revision, updated=updated, champion=version)


def test_what_the_registry_does_not_have_yet_is_written_there(tmp_path: Path, away: Registry) -> None:
    away.add("m", champion="1", tag=champion("1", 3).to_tag())
    desired = Desired(tmp_path, away.client, writes=True)
    assert desired.put("m", champion("2", 4))
    assert not desired.put("m", champion("1", 3)), "an older one replaces nothing"
    assert desired.sync() == []
    assert away.models["m"]["aliases"]["champion"] == "2"
    assert away.state("m").revision == 4


def test_a_replica_that_does_not_write_only_follows(tmp_path: Path, away: Registry) -> None:
    away.add("m", champion="1", tag=champion("1", 3).to_tag())
    desired = Desired(tmp_path, away.client, writes=False)
    desired.put("m", champion("2", 4))
    desired.sync()
    assert away.writes == []
    away.add("m", champion="1", tag=champion("1", 5).to_tag())
    desired.sync()
    assert desired.states["m"].champion == "1"


def test_a_start_without_the_registry_begins_with_this_disk(tmp_path: Path, away: Registry) -> None:
    Desired(tmp_path, away.client, writes=True).put("a/b", champion("2", 4))
    (tmp_path / "torn.json").write_text('{"model": "x", "sta')
    away.status = 500
    again = Desired(tmp_path, away.client, writes=True)
    assert again.states["a/b"].champion == "2"
    with pytest.raises(Problem) as caught:
        again.sync()
    assert caught.value.code is ExitCode.RETRY, "the database of the registry is away: nobody's fault here"
    assert again.states["a/b"].champion == "2"


def test_of_two_acts_at_once_the_later_one_stands(tmp_path: Path, away: Registry) -> None:
    desired = Desired(tmp_path, away.client, writes=True)
    assert desired.put("m", champion("1", 7, 10.0))
    assert not desired.put("m", champion("2", 7, 9.0))
    assert not desired.put("m", champion("2", 7, 10.0001)), "less than the tag can tell apart"
    assert desired.put("m", champion("2", 7, 10.002))


def test_a_tag_of_another_hand_is_a_fault_and_the_known_state_stays(tmp_path: Path, away: Registry) -> None:
    away.add("m", champion="2", tag="{nonsense")
    desired = Desired(tmp_path, away.client, writes=False)
    desired.put("m", champion("2", 4))
    desired.sync()
    assert "cannot be read" in desired.faults["m"]
    assert desired.states["m"].champion == "2"


def test_an_alias_that_others_moved_is_reported_until_it_is_honoured(tmp_path: Path, away: Registry) -> None:
    away.add("m", champion="2", tag=champion("1", 3).to_tag())
    desired = Desired(tmp_path, away.client, writes=True)
    assert desired.sync() == [Moved("m", "2")]
    assert Desired(tmp_path / "other", away.client, writes=False).sync() == []
    desired.put("m", champion("2", 4))
    assert desired.sync() == []


def test_the_challenger_alias_comes_and_goes_with_the_rollout(tmp_path: Path, away: Registry) -> None:
    from mlops.serving.rollout.strategy import parse

    away.add("m", champion="1", tag=champion("1", 3).to_tag())
    desired = Desired(tmp_path, away.client, writes=True)
    desired.sync()
    begun = machine.deploy(desired.states["m"], "2", parse("canary:50,100"), now=5.0, by="ann")
    desired.put("m", begun)
    desired.sync()
    assert away.models["m"]["aliases"] == {"champion": "1", "challenger": "2"}
    desired.put("m", machine.rollback(begun, now=6.0, by="ann"))
    desired.sync()
    assert away.models["m"]["aliases"] == {"champion": "1"}


def test_a_deleted_model_is_forgotten_but_not_one_deployed_meanwhile(tmp_path: Path, away: Registry) -> None:
    clock = [0.0]
    desired = Desired(tmp_path, away.client, writes=True, clock=lambda: clock[0])
    away.add("other", champion="1", tag=champion("1", 1).to_tag())
    desired.put("gone", champion("1", 1))
    # Registered and deployed while the registry's list, without it, is on its way.
    away.listing = lambda: desired.put("new", champion("1", 1))  # type: ignore[assignment]
    desired.sync()
    assert set(desired.states) == {"gone", "new", "other"}
    assert "does not list gone" in desired.faults["gone"]
    away.add("new", champion="1", tag=champion("1", 1).to_tag())
    clock[0] = GONE_SECONDS
    desired.sync()
    assert set(desired.states) == {"new", "other"}
    assert not desired.faults
    assert sorted(each.name for each in tmp_path.glob("*.json")) == ["new.json", "other.json"]
    # Another replica, which has not noticed yet, hands it back.
    desired.put("gone", champion("1", 1))
    desired.sync()
    assert set(desired.states) == {"new", "other"}


def test_a_registry_that_lost_its_models_stops_nothing(tmp_path: Path, away: Registry) -> None:
    clock = [0.0]
    desired = Desired(tmp_path, away.client, writes=True, clock=lambda: clock[0])
    for name in ("a", "b", "c"):
        desired.put(name, champion("1", 1))
    away.add("a", champion="1", tag=champion("1", 1).to_tag())
    for clock[0] in (0.0, GONE_SECONDS, LOST_SECONDS - 1):
        desired.sync()
        assert set(desired.states) == {"a", "b", "c"}, "two of three at once: nobody deletes like that"
        assert desired.faults["b"] == "the registry does not list b; it is served on for 24 h"
    # The database is restored; what went a second time is counted from then.
    away.add("b", champion="1", tag=champion("1", 1).to_tag())
    away.add("c", champion="1", tag=champion("1", 1).to_tag())
    desired.sync()
    assert not desired.faults
    away.models.clear()
    clock[0] += LOST_SECONDS / 2
    desired.sync()
    assert set(desired.states) == {"a", "b", "c"}
    clock[0] += LOST_SECONDS
    desired.sync()
    assert not desired.states


def test_an_alias_moved_before_our_own_word_got_there_is_not_lost(tmp_path: Path, away: Registry) -> None:
    away.add("m", champion="3", tag=champion("1", 3).to_tag(), versions=("1", "2", "3"))
    desired = Desired(tmp_path, away.client, writes=True)
    rolling = machine.deploy(champion("1", 3), "2", parse("rolling"), now=2.0, by="ann")
    desired.put("m", rolling)
    assert desired.sync() == [Moved("m", "3")], "a person moved it while version 2 was on its way"
    assert away.models["m"]["aliases"]["champion"] == "3"
    assert away.state("m") == rolling
    # The alias of a candidate that went back is our own to put back.
    away.add("m", champion="2", tag=rolling.to_tag())
    desired.put("m", machine.rollback(rolling, now=3.0, by="ann"))
    assert desired.sync() == []
    assert away.models["m"]["aliases"]["champion"] == "1"
