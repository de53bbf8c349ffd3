"""A problem reads the same in words and as data."""

from __future__ import annotations

from blueprints.errors import ExitCode, Problem, UsageProblem


def test_a_problem_says_what_where_expected_and_what_to_do() -> None:
    problem = Problem("port 5000 is in use", where="tracking.port", expected="a free port", todo="choose one")
    assert str(problem).splitlines() == [
        "tracking.port: port 5000 is in use",
        "  expected: a free port",
        "  do: choose one",
    ]


def test_parts_that_are_unknown_are_left_out() -> None:
    assert Problem("it is so").lines() == ["it is so"]


def test_a_problem_as_data_carries_the_exit_code() -> None:
    assert UsageProblem("no", where="x").as_dict() == {
        "error": "no",
        "where": "x",
        "expected": "",
        "do": "",
        "exit": 2,
    }
    assert Problem("later", code=ExitCode.RETRY).as_dict()["exit"] == 3
