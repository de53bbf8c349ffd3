"""Any valid spec is taken and kept as it is; any invalid one is refused with its key named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pulumi.runtime import config as runtime

from blueprints.errors import UsageProblem
from blueprints.keys import Key, keys, validate
from blueprints.spec import EnvironmentSpec
from stacks.program import configured
from stacks.project import SPEC_KEY, Project
from tests.blueprints.strategies import corruptions, specs

KEYS = list(keys())
quick = settings(
    max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project.create(tmp_path_factory.mktemp("specs") / "yard", "yard", "dev", EnvironmentSpec())


@quick
@given(data=specs())
def test_a_valid_spec_goes_through_its_file_and_the_program_unchanged(
    project: Project, data: dict[str, Any]
) -> None:
    spec = validate(data)
    project.write_spec("dev", spec)
    assert project.spec("dev") == spec
    # As the engine hands it to the program: the section of the file as JSON.
    runtime.set_config(SPEC_KEY, json.dumps(project.config("dev")[SPEC_KEY], default=str))
    assert configured() == spec


@quick
@given(data=specs(), key=st.sampled_from(KEYS), pick=st.integers(0, 99))
def test_one_wrong_value_is_refused_and_its_key_named(data: dict[str, Any], key: Key, pick: int) -> None:
    kinds = corruptions(key)
    wrong(data, key, kinds[pick % len(kinds)])


def wrong(data: dict[str, Any], key: Key, value: Any) -> None:
    *parents, leaf = key.path.split(".")
    target = data
    for parent in parents:
        target = target.setdefault(parent, {})
    target[leaf] = value
    with pytest.raises(UsageProblem) as caught:
        validate(data)
    told = f"{caught.value.where} {caught.value.what}"
    assert key.path in told, (key.path, value, told)


def every_corruption() -> Iterator[Any]:
    for key in KEYS:
        for value in corruptions(key):
            yield pytest.param(key, value, id=f"{key.path}={value!r}")


@pytest.mark.parametrize(("key", "value"), every_corruption())
def test_every_kind_of_wrong_value_of_every_key_is_refused(key: Key, value: Any) -> None:
    wrong({}, key, value)


@quick
@given(data=specs(), section=st.sampled_from(sorted({key.path.rpartition(".")[0] for key in KEYS})),
       name=st.from_regex(r"[a-z]{3,9}_x", fullmatch=True))  # fmt: skip
def test_an_unknown_key_anywhere_is_refused_and_named(data: dict[str, Any], section: str, name: str) -> None:
    target = data
    for part in section.split(".") if section else ():
        target = target.setdefault(part, {})
    target[name] = 1
    with pytest.raises(UsageProblem) as caught:
        validate(data)
    assert f"{section}.{name}".lstrip(".") in caught.value.what


def test_the_file_is_what_a_person_would_write(project: Project) -> None:
    project.write_spec("dev", EnvironmentSpec())
    assert Path(project.stack_file("dev")).read_text() == "config:\n  modelyard:spec:\n    blueprint: local\n"
