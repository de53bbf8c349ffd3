"""``modelyard cost``: its words, and ``cost update`` from the command line to the file and the audit log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlops.governance.audit import AuditLog
from tests.stacks.test_price_list import PriceList, aws  # noqa: F401 - the fixture
from tests.tui.conftest import Modelyard


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--region", "eu-west-1"], "--region is for update"),
        (["update", "dev"], "unexpected 'dev'"),
        (["diff"], "FROM and TO"),
        (["diff", "a", "b", "c"], "FROM and TO"),
        (["diff", "dev", "nowhere.yaml"], "a file Pulumi.NAME.yaml"),
        (["total"], "invalid choice: 'total'"),
    ],
)
def test_usage_is_refused_in_words(modelyard: Modelyard, yard: Path, words: list[str], expected: str) -> None:
    told = modelyard("-C", yard, "cost", *words)
    assert told.code == 2
    assert expected in told.err


def test_update_writes_the_projects_prices_and_the_audit_log(
    modelyard: Modelyard,
    yard: Path,
    aws: type[PriceList],  # noqa: F811
) -> None:
    told = modelyard("-C", yard, "cost", "update", "--region", "eu-central-1", "--json")
    document = json.loads(told.out)
    assert told.code == 0
    assert document["taken"]["nat.hour"] == 0.053
    assert "too far" in document["left"]["kms.key"]
    assert "source: aws pricing API" in (yard / "prices.yaml").read_text()
    entry = list(AuditLog(yard / ".modelyard" / "audit.jsonl").entries())[-1]
    assert (entry.action, entry.after) == ("prices.update", {"region": "eu-central-1", "taken": 4})
    aws.refusal = "ExpiredTokenException"
    told = modelyard("-C", yard, "cost", "update")
    assert told.code == 1
    assert told.err.splitlines()[-3:] == [
        "AWS Price List API: the AWS credentials have expired (ExpiredTokenException)",
        "  expected: pricing:GetProducts",
        "  do: aws sso login, or set fresh ones",
    ]
