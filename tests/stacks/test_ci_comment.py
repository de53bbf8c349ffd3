"""A plan as a comment: what stands first, what is escaped, what a long one becomes."""

from __future__ import annotations

from typing import Any

import pytest

from blueprints.errors import UsageProblem
from stacks.ci.comment import markdown, marker
from stacks.policy.results import Finding, PolicyResult, Verdict
from stacks.policy.rule import Severity
from tui.cli.output import plain


def step(name: str, verb: str, layer: str | None = "storage", **more: Any) -> dict[str, Any]:
    return {"urn": f"urn:{name}", "type": "bucket", "name": name, "layer": layer, "verb": verb, **more}


def plan(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "project": "flights",
        "environment": "dev",
        "counts": {"same": 4},
        "dangerous": [],
        "steps": list(steps),
        **more,
    }


def test_what_can_lose_data_stands_first_and_layers_follow_in_their_order() -> None:
    text = markdown(
        plan(
            step("tracking", "create", "tracking"),
            step("storage", "component", None, type="component"),
            step("still", "same"),
            step("logs", "update", because="storage.versioning"),
            step("main", "replace", "database", changed=["engine", "size"]),
            step("stray", "delete", None),
            dangerous=["urn:main"],
        )
    )
    lines = text.splitlines()
    assert lines[:2] == ["<!-- modelyard flights/dev -->", "### Modelyard preview · flights ▸ dev"]
    assert "**1 to create, 1 to update, 1 to replace, 1 to delete**, 4 unchanged" in lines[3]
    order = [
        "> **▲ Data may be lost**",
        "> - bucket main (replace)",
        "| ± replace | bucket **main** | engine, size |",
        "| | **storage** | |",
        "| ~ update | bucket **logs** | storage.versioning |",
        "| | **tracking** | |",
        "| + create | bucket **tracking** |  |",
        "| | **environment** | |",
        "| − delete | bucket **stray** |  |",
    ]
    assert [lines.index(line) for line in order] == sorted(lines.index(line) for line in order)
    assert "still" not in text


def test_nothing_to_change_has_no_table() -> None:
    assert "● nothing to change, 4 unchanged" in markdown(plan(step("a", "same")))
    assert "● nothing drifted" in markdown(plan(step("a", "same")), drift=True)
    assert "|" not in markdown(plan())


def test_drift_is_told_as_drift() -> None:
    text = markdown(plan(step("a", "update", because="found stopped")), drift=True)
    assert "### Modelyard drift" in text
    assert "△ 1 differ: **1 to update**" in text
    assert "found stopped" in text


def result(rule: str, verdict: str = "passed", *findings: Finding) -> object:
    return plain(PolicyResult(rule, Severity.MANDATORY, Verdict(verdict), findings))


def test_cost_and_policy_when_they_are_there() -> None:
    text = markdown(
        plan(
            cost={
                "currency": "USD",
                "total": {"low": 410.0, "high": 1520.5},
                "unpriced": [{"resource": "edge", "type": "alb", "why": "no entry"}],
            },
            cost_before={"total": {"low": 400.0, "high": 1500.0}},
            policy=[
                result("db-public"),
                result("tags", "warned", Finding("", "main", "has no owner")),
                result("tls", "excepted", Finding("", "edge", "is plain", "moves in May", "2027-05-31")),
            ],
        )
    )
    assert "cost 410.00 to 1\u2009520.50 USD a month (**+10.00 to +20.50**)" in text
    assert "Not priced: edge" in text
    assert "policy △ 3 rules, **1 warned**, **1 excepted**" in text
    assert "- **tags** · main · has no owner\n" in text
    assert "- **tls** · edge · is plain; let pass until 2027-05-31: moves in May\n" in text
    calm = markdown(plan(cost={"total": {"low": 0, "high": 0}}, policy=[result("db-public")]))
    assert "cost 0.00 USD a month · policy ● 1 rules" in calm
    none = markdown(plan(cost=None, cost_before=None, policy=None))
    assert "cost" not in none
    assert "policy" not in none


def test_names_from_a_plan_are_only_words() -> None:
    text = markdown(plan(step("a|b\n<img src=x>`@team`[x](y)", "create", because="**bold**")))
    row = next(line for line in text.splitlines() if line.startswith("| +"))
    assert row.count("|") == 5  # the four of the row, and one that is escaped
    assert r"a\|b" in row
    assert "<img" not in row
    assert "@team" not in row
    assert r"\[x\]" in row
    assert r"\*\*bold\*\*" in row


def test_a_long_plan_stays_below_what_platforms_take_and_counts_the_rest() -> None:
    text = markdown(plan(*(step(f"bucket-{number:05}", "create") for number in range(5000))))
    assert len(text) < 65_536
    shown = text.count("| + create |")
    assert f"… and {5000 - shown} more" in text


def test_a_preview_that_failed_is_told() -> None:
    fault = {
        "error": "the passphrase is wrong",
        "where": "Pulumi.dev.yaml",
        "expected": "the right one",
        "do": "copy it",
    }
    text = markdown({**fault, "project": "flights", "environment": "dev"})
    assert marker(text) == "<!-- modelyard flights/dev -->"
    assert "▲ Pulumi.dev.yaml: the passphrase is wrong" in text
    assert "- do: copy it" in text


@pytest.mark.parametrize(
    "document", [{}, {"project": "a"}, {"project": "a", "environment": "b", "steps": {}}]
)
def test_anything_else_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(UsageProblem, match="is no plan"):
        markdown(document)
