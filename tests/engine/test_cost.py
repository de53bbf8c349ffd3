"""Cost through the real engine: the local blueprint is free; aws-typed resources are priced, compared and
held to a budget before anything is applied."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pulumi
import pytest

from blueprints.billing import Resource
from blueprints.cost import Estimate, Range, estimate
from blueprints.errors import ExitCode, Problem
from blueprints.keys import assign
from blueprints.layers import Layer
from blueprints.pricebook import packaged
from blueprints.spec import EnvironmentSpec, UsageSpec
from stacks import program
from stacks.engine import Engine, engine
from stacks.local.kinds import layer_token
from stacks.project import Project
from tests.blueprints.aws_resources import UNKNOWN, team
from tests.tui.conftest import Modelyard, modelyard  # noqa: F401 - the fixture

_TASKS = "aws:ecs/taskDefinition:TaskDefinition"
SPEC = EnvironmentSpec()


def declare(resources: list[Resource]) -> None:
    """The resources as a Pulumi program declares them: layers as components, services refer to their task."""
    layers: dict[Layer, pulumi.ComponentResource] = {}
    tasks: dict[str, pulumi.CustomResource] = {}
    for each in resources:
        assert each.layer is not None
        if each.layer not in layers:
            layers[each.layer] = pulumi.ComponentResource(layer_token(each.layer), each.layer.value)
        # A literal of that value would be no unknown but a text that reads like one.
        inputs: dict[str, Any] = json.loads(json.dumps(dict(each.inputs)).replace(UNKNOWN, "known"))
        if "taskDefinition" in inputs:
            inputs["taskDefinition"] = tasks[each.name].id
        options = pulumi.ResourceOptions(parent=layers[each.layer])
        made = pulumi.CustomResource(each.type, each.name, inputs, options)
        if each.type == _TASKS:
            tasks[each.name] = made


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Project, list[Resource]]:
    """A project whose program declares AWS resources (the list may be changed), and a provider for them that
    makes nothing."""
    folder = tmp_path / "bin"
    folder.mkdir()
    plugin = folder / "pulumi-resource-aws"
    root = Path(__file__).parents[2]
    plugin.write_text(
        f'#!/bin/sh\nPYTHONPATH="{root}" exec "{sys.executable}" -u -m tests.engine.echo_provider "$@"\n'
    )
    plugin.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    several = ("data", "backups", "logs", "ecr-dkr", "secretsmanager", "kms", "monitor", "dagster")
    resources = [each for each in team() if each.name not in several and not each.name.startswith("alarm-")]

    monkeypatch.setattr(program, "run", lambda root, **_: declare(resources))
    # They are a bill of materials, not an environment: the rules would stop them.
    monkeypatch.setattr(engine, "_PACKS", [])
    return Project.create(tmp_path / "yard", "yard", "dev", SPEC), resources


def by_hand(resources: list[Resource]) -> Estimate:
    return estimate(resources, packaged(), SPEC.cost.region, UsageSpec())


def test_a_plan_of_aws_resources_carries_its_estimate(
    cloud: tuple[Project, list[Resource]],
    modelyard: Modelyard,  # noqa: F811
) -> None:
    project, resources = cloud
    document = json.loads(modelyard("-C", project.root, "preview", "--json").out)
    assert "error" not in document, document
    expected = by_hand(resources)
    assert document["cost"]["total"]["high"] == pytest.approx(expected.total.high)
    assert document["cost"]["layers"].keys() == expected.layers.keys()
    assert document["cost"]["unpriced"] == []
    assert document["cost_before"]["total"] == {"low": 0, "high": 0}
    items = document["cost"]["items"]
    assert {item["resource"] for item in items} == {item.resource for item in expected.items}
    assert all(item["price"]["source"] and item["price"]["date"] for item in items)


def test_the_difference_is_against_what_is_recorded(
    cloud: tuple[Project, list[Resource]],
    modelyard: Modelyard,  # noqa: F811
) -> None:
    project, resources = cloud
    engine = Engine(project, "dev")
    assert engine.up().changes == len(resources)
    plan = engine.preview()
    assert plan.changes == 0
    assert plan.cost is not None
    assert plan.cost == plan.cost_before == by_hand(resources)
    # The gateway to the internet goes, the database grows.
    resources[:] = [each for each in resources if each.name != "nat-a"]
    place = next(n for n, each in enumerate(resources) if each.name == "postgres")
    grown = {**resources[place].inputs, "instanceClass": "db.m7g.large"}
    resources[place] = Resource(resources[place].type, "postgres", Layer.DATABASE, grown)
    told = modelyard("-C", project.root, "preview")
    after = by_hand(resources)
    change = after.total - plan.cost.total
    assert change.low == pytest.approx(730 * (0.336 - 0.13) - 730 * (0.045 + 0.005))
    assert f"cost {after.headline} / month, {change.signed} against now (us-east-1" in told.out
    for layer, amount in after.layers.items():
        assert (f"  {layer:<13}  {amount}" in told.out) == (amount != Range())


def test_over_budget_nothing_is_applied(
    cloud: tuple[Project, list[Resource]],
    modelyard: Modelyard,  # noqa: F811
) -> None:
    project, resources = cloud
    project.write_spec("dev", assign(SPEC, ["cost.budget_per_month=100"]))
    largest = [item.resource for item in by_hand(resources).largest()]
    for words in (["preview"], ["up", "--yes"]):
        told = modelyard("-C", project.root, *words)
        assert told.code == ExitCode.FAILED
        assert "over the budget of 100 USD" in told.err
        assert "Pulumi.dev.yaml cost.budget_per_month" in told.err
        assert all(name in told.err for name in largest)
    assert Engine(project, "dev").resources() == ()
    shown = modelyard("-C", project.root, "cost")
    assert shown.code == 0
    assert "assumed: " in shown.out
    assert "≈ 0.13 / hour" in shown.out
    project.write_spec("dev", assign(SPEC, ["cost.budget_per_month=100000"]))
    assert modelyard("-C", project.root, "preview", "--quiet").code == 0


def test_a_region_without_prices_is_not_priced_and_keeps_no_budget(
    cloud: tuple[Project, list[Resource]],
) -> None:
    project, resources = cloud
    resources[:] = resources[:5]
    project.write_spec("dev", assign(SPEC, ["cost.region=ap-south-1"]))
    plan = Engine(project, "dev").preview()
    assert plan.cost is not None
    assert plan.cost.items == ()
    assert plan.cost.headline == "0, 3 not priced"
    project.write_spec("dev", assign(SPEC, ["cost.region=ap-south-1", "cost.budget_per_month=1000"]))
    with pytest.raises(Problem, match="no prices for 'ap-south-1'"):
        Engine(project, "dev").preview()


def test_the_local_blueprint_costs_nothing_and_says_why(
    tmp_path: Path,
    modelyard: Modelyard,  # noqa: F811
) -> None:
    spec = assign(SPEC, ["cost.budget_per_month=0"])
    project = Project.create(tmp_path / "yard", "yard", "dev", spec)
    told = modelyard("-C", project.root, "preview")
    assert told.code == 0
    assert told.out.splitlines()[-2] == "cost 0 / month: runs on this machine"
    bad = project.root / "prices.yaml"
    bad.write_text(
        "version: 1\ndate: 2026-11-24\nentries: {nat.hour: {quotes: [{prices: {us-east-1: -1}}]}}\n"
    )
    told = modelyard("-C", project.root, "preview")
    assert told.code == ExitCode.USAGE
    assert "prices.yaml:3 entries.nat.hour.quotes.0.prices.us-east-1" in told.err
    assert "negative price" in told.err


def test_the_difference_of_an_environment_and_a_file(
    cloud: tuple[Project, list[Resource]],
    modelyard: Modelyard,  # noqa: F811
    tmp_path: Path,
) -> None:
    project, resources = cloud
    resources[:] = resources[:8]
    elsewhere = tmp_path / "Pulumi.half.yaml"
    elsewhere.write_text("config:\n  modelyard:spec: {cost: {usage: {hours: 365}}}\n")
    told = modelyard("-C", project.root, "cost", "diff", elsewhere, "dev", "--json")
    document = json.loads(told.out)
    half = estimate(resources, packaged(), "us-east-1", UsageSpec(hours=365))
    assert document["difference"]["high"] == pytest.approx(by_hand(resources).total.high - half.total.high)
    assert document["layers"]["network"]["low"] > 0
    assert document["before"]["total"]["low"] == pytest.approx(half.total.low)
    refused = modelyard("-C", project.root, "cost", "diff", "dev", "staging")
    assert refused.code == ExitCode.USAGE
    assert "a file Pulumi.NAME.yaml" in refused.err
