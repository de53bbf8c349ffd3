"""Reports: a page, a terminal, a program read the same comparison."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import numpy as np
import pytest

from mlops.monitoring import Comparison, Profile, compare
from mlops.monitoring.report import SCHEMA, to_html, to_json, to_text
from tests.mlops.monitoring.tests.tables import profiled, table

REFERENCE = profiled(5_000, 1)


def comparison_of(**changes: Any) -> Comparison:
    return compare(REFERENCE, Profile.of(table(1_000, 2) | changes, like=REFERENCE))


SHIFTED = comparison_of(
    plain0=np.random.default_rng(1).normal(2, 1, 1_000), **{"<script>[red]x": np.ones(1_000)}
)


def test_json_keeps_to_its_schema() -> None:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    validator.check_schema(SCHEMA)
    for comparison in (SHIFTED, comparison_of(), compare(REFERENCE, profiled(0, 1))):
        told = json.loads(to_json(comparison))
        validator.validate(told)
        assert len(told["findings"]) == len(comparison.findings)
    told["findings"][0]["p_value"] = 2
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(told)


def test_the_page_needs_nothing_from_anywhere_and_says_every_sentence() -> None:
    page = to_html(SHIFTED)
    assert "plain0 is higher by about" in page
    assert "<script" not in page
    assert not re.search(r"(src|href)=|url\(|@import|https?://", page)
    assert page.count("<svg") >= 1
    assert "None of" in to_html(comparison_of())


def test_the_terminal_shows_both_shapes_and_takes_names_as_they_are() -> None:
    text = to_text(SHIFTED)
    assert "plain0 is higher by about" in text
    assert "█" in text
    assert "[red]x" in text
    assert "\x1b" not in text
    assert "\x1b" in to_text(SHIFTED, colour=True)
    assert "nothing changed" in to_text(comparison_of())
