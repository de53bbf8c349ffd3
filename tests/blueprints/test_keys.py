"""Every answer is one typed key: listed, read, refused in words."""

from __future__ import annotations

import json

import pytest

from blueprints.errors import ExitCode, UsageProblem
from blueprints.keys import assign, differences, find, keys, problem_with, validate, value_at
from blueprints.spec import EnvironmentSpec

_DEFAULT = EnvironmentSpec()


def test_every_key_has_a_meaning_a_type_and_its_default_is_valid() -> None:
    for key in keys():
        assert key.meaning.endswith("."), key.path
        assert key.type in {"text", "whole number", "number", "yes or no", "list"}, key.path
        assert key.default == value_at(_DEFAULT, key.path)
        value = value_at(_DEFAULT, key.path)
        text = "" if value is None else ",".join(value) if isinstance(value, tuple) else str(value)
        assert problem_with(key.path, text, _DEFAULT) == "", key.path


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("serving.replicas", "whole number 1 to 16"),
        ("monitoring.window_rows", "whole number 100 to 1 000 000"),
        ("monitoring.false_alarm_rate", "number, more than 0 and less than 0.5"),
        ("monitoring.interval_seconds", "number 0.5 to 86400"),
        ("database.kind", "postgres or sqlite"),
        ("database.port", "whole number 1024 to 65535"),
        ("protected", "yes or no"),
        ("tracking.allowed_hosts", "words separated by commas"),
    ],
)
def test_what_is_expected_is_said_in_words(path: str, expected: str) -> None:
    assert find(path).expected == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [("a, b.example", ("a", "b.example")), ('["a"]', ("a",)), ("", ()), ("8080", ("8080",)), ("a,", ("a",))],
)
def test_a_list_is_words_with_commas_or_json(text: str, value: tuple[str, ...]) -> None:
    assert assign(_DEFAULT, [f"tracking.allowed_hosts={text}"]).tracking.allowed_hosts == value


@pytest.mark.parametrize(
    ("assignment", "where", "what", "expected"),
    [
        ("serving.replicas=0", "serving.replicas", "0 is too small", "whole number 1 to 16"),
        ("serving.replicas=17", "serving.replicas", "17 is too large", "whole number 1 to 16"),
        ("serving.replicas=two", "serving.replicas", "'two' is no whole number", "whole number 1 to 16"),
        ("serving.replicas=yes", "serving.replicas", "'yes' is no whole number", "whole number 1 to 16"),
        ("serving.replicas=1.5", "serving.replicas", "1.5 is no whole number", "whole number 1 to 16"),
        (
            "serving.replicas=",
            "serving.replicas",
            "an empty value is no whole number",
            "whole number 1 to 16",
        ),
        ("serving.enabled=maybe", "serving.enabled", "'maybe' is neither yes nor no", "yes or no"),
        ("database.kind=mysql", "database.kind", "'mysql' is not a choice", "postgres or sqlite"),
        ("database.port=80", "database.port", "80 is too small", "whole number 1024 to 65535"),
        ("orchestration.enabled=yes", "orchestration.enabled", "yes is not a choice", "no"),
    ],
)
def test_a_value_that_does_not_fit_is_told(assignment: str, where: str, what: str, expected: str) -> None:
    with pytest.raises(UsageProblem) as caught:
        assign(_DEFAULT, [assignment])
    problem = caught.value
    assert problem.where == f"modelyard:spec {where}"
    assert (problem.what, problem.expected, problem.code) == (what, expected, ExitCode.USAGE)
    path, _, text = assignment.partition("=")
    assert problem_with(path, text, _DEFAULT) == f"{what}; expected {expected}"


def test_an_unknown_key_names_the_nearest_three_at_most() -> None:
    with pytest.raises(UsageProblem) as caught:
        find("serving.replcas")
    assert caught.value.todo == "did you mean serving.replicas?"
    assert caught.value.expected.count(",") <= 2
    with pytest.raises(UsageProblem, match="section"):
        find("serving")


def test_an_unknown_key_of_a_file_is_told_with_the_file() -> None:
    with pytest.raises(UsageProblem) as caught:
        validate({"serving": {"replcas": 2}}, where="Pulumi.dev.yaml")
    assert caught.value.where == "Pulumi.dev.yaml"
    assert "serving.replcas" in caught.value.what
    assert caught.value.todo == "did you mean serving.replicas?"


def test_a_value_that_is_no_section_is_told() -> None:
    with pytest.raises(UsageProblem, match="no section"):
        validate({"serving": 3})


def test_text_without_an_equals_sign_is_told() -> None:
    with pytest.raises(UsageProblem) as caught:
        assign(_DEFAULT, ["serving.replicas"])
    assert caught.value.expected == "KEY=VALUE"


def test_assignments_are_validated_together() -> None:
    # Alone, the first would be refused: monitoring reads the gateway's log.
    spec = assign(_DEFAULT, ["serving.enabled=no", "monitoring.enabled=no"])
    assert not spec.serving.enabled
    assert problem_with("serving.enabled", "no", _DEFAULT).startswith("monitoring.enabled needs")


def test_the_last_of_two_assignments_counts() -> None:
    assert assign(_DEFAULT, ["serving.replicas=2", "serving.replicas=3"]).serving.replicas == 3


def test_differences_name_key_before_and_after() -> None:
    spec = assign(_DEFAULT, ["serving.replicas=2", "database.kind=sqlite"])
    assert differences(_DEFAULT, spec) == [
        ("database.kind", "postgres", "sqlite"),
        ("serving.replicas", 1, 2),
    ]


def test_a_spec_survives_json() -> None:
    spec = assign(_DEFAULT, ["tracking.allowed_hosts=a,b", "monitoring.false_alarm_rate=0.05"])
    assert validate(json.loads(json.dumps(spec.model_dump(mode="json")))) == spec
