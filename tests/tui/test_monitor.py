"""``modelyard monitor models`` and ``show``: what the console's page says, without it. The monitor's answers
are made up here; tests/mlops/test_serving_live.py has them from a real one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from blueprints.spec import EnvironmentSpec
from stacks.project import Project
from tests.console.fakes import FakeSession
from tests.tui.conftest import Modelyard
from tui.session import Session


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Project, FakeSession]:
    """A project whose monitor answers from memory."""
    made = Project.create(tmp_path / "p", "p", "dev", EnvironmentSpec())
    fake = FakeSession(tmp_path, alerts=2)
    monkeypatch.setattr(Session, "monitor", lambda self: fake.monitor())
    return made, fake


def test_the_models_and_what_is_known_of_them(
    watched: tuple[Project, FakeSession], modelyard: Modelyard
) -> None:
    project, fake = watched
    told = modelyard("-C", project.root, "monitor")
    assert told.code == 0, told.err
    assert "wind_1 differs from the reference" in told.out
    assert "price: no full window of predictions yet." in told.out
    models = json.loads(modelyard("-C", project.root, "--json", "monitor", "models").out)["models"]
    assert [(each["model"], each["alerts"], each["behind"]) for each in models] == [
        ("delay", 2, 1234),
        ("price", 0, 0),
    ]
    fake.empty = True
    assert "no model is registered" in (empty := modelyard("-C", project.root, "monitor")).out + empty.err


def test_one_model_feature_by_feature(watched: tuple[Project, FakeSession], modelyard: Modelyard) -> None:
    root = watched[0].root
    told = modelyard("-C", root, "monitor", "show", "delay")
    assert told.code == 0, told.err
    assert "Moved most now: dep_delay 6×, visib 2.7×" in told.out
    line = next(each for each in told.out.splitlines() if each.startswith("dep_delay"))
    assert line.split()[-2:] == ["6", "ks"]
    assert "▒▒▒▓▓" in line
    data = json.loads(modelyard("-C", root, "--json", "monitor", "show", "delay").out)
    assert data["heat"]["columns"][0] == "dep_delay"
    assert data["performance"][0]["metric"] == "auc"
    assert data["model"]["version"] == "8"


def test_the_figures(watched: tuple[Project, FakeSession], modelyard: Modelyard) -> None:
    project, fake = watched
    told = modelyard("-C", project.root, "monitor", "figures")
    assert told.code == 0, told.err
    line = next(each for each in told.out.splitlines() if each.startswith("revenue"))
    assert "delay" in line
    assert "USD" in line
    assert "240 to 390 MB" in told.out
    figures = json.loads(modelyard("-C", project.root, "--json", "monitor", "figures").out)["figures"]
    assert [(each["kind"], each["name"]) for each in figures][:2] == [("kpi", "orders"), ("kpi", "revenue")]
    assert figures[1]["points"][-1]["expected"] > figures[1]["points"][-1]["value"]
    fake.empty = True
    nothing = modelyard("-C", project.root, "monitor", "figures")
    assert "nothing is measured yet" in nothing.out + nothing.err


@pytest.mark.parametrize(
    ("words", "said"), [(["nobody"], "no model nobody is watched"), ([], "which model?")]
)
def test_a_model_that_is_not_watched_is_named(
    watched: tuple[Project, FakeSession], modelyard: Modelyard, words: list[str], said: str
) -> None:
    told = modelyard("-C", watched[0].root, "monitor", "show", *words)
    assert told.code == 2
    assert said in told.err
    assert "delay, price" in told.err
