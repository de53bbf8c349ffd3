"""``modelyard policy``: the rules without a project, in text and in JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stacks.policy.catalog import RULES
from tests.tui.conftest import Modelyard


def test_every_rule_is_listed_with_what_why_and_fix(modelyard: Modelyard, tmp_path: Path) -> None:
    text = modelyard("-C", tmp_path, "policy")
    document = json.loads(modelyard("-C", tmp_path, "policy", "--json").out)
    assert [each["id"] for each in document["rules"]] == [rule.id for rule in RULES]
    for rule, told in zip(RULES, document["rules"], strict=True):
        assert rule.id in text.out
        assert (told["severity"], told["what"]) == (rule.severity.value, rule.what)
        assert (told["why"], told["fix"]) == (rule.why, rule.fix)


def test_one_rule_says_why_and_what_to_do(modelyard: Modelyard) -> None:
    told = modelyard("policy", RULES[0].id)
    assert RULES[0].why in told.out
    assert RULES[0].fix in told.out


@pytest.mark.parametrize(("words", "near"), [("edge-tlss", "edge-tls"), ("qqq", "modelyard policy")])
def test_an_unknown_rule_names_the_nearest(modelyard: Modelyard, words: str, near: str) -> None:
    told = modelyard("policy", words)
    assert told.code == 2
    assert near in told.err


def test_path_is_the_folder_that_pulumi_takes(modelyard: Modelyard) -> None:
    folder = Path(modelyard("policy", "path").out.strip())
    assert (folder / "PulumiPolicy.yaml").read_text().startswith("name: modelyard")
