"""The one Pulumi program: the console, ``modelyard up`` and plain ``pulumi up`` all run :func:`deploy`."""

from __future__ import annotations

import runpy
import sys
import traceback
from contextvars import ContextVar
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pulumi

from blueprints.catalog import find
from blueprints.errors import Problem
from blueprints.keys import validate
from blueprints.spec import EnvironmentSpec
from stacks.policy.catalog import rules_of
from stacks.policy.exceptions import check_exceptions

#: The configuration key that holds the EnvironmentSpec.
KEY = "spec"
NAMESPACE = "modelyard"
#: The project folder, where the program runs in a process whose current folder is another.
_root: ContextVar[Path | None] = ContextVar("root", default=None)
#: The spec to follow instead of the configured one.
_spec: ContextVar[EnvironmentSpec | None] = ContextVar("spec", default=None)


def run(root: Path, name: str = "__main__.py", spec: EnvironmentSpec | None = None) -> None:
    """Run the project's program, whichever door it came through: what a team adds to it is theirs in all.

    Args:
        root: The project folder.
        name: The program's file in it.
        spec: Another than the configured one: what was applied last, to tell drift from changed wishes.

    Raises:
        pulumi.RunError: It fails; a fault of the program is told without the frames of whoever runs it.
    """
    if not (root / name).is_file():
        raise pulumi.RunError(f"{name} is missing\n  do: restore it, or modelyard init in a new folder")
    before = list(sys.path)
    tokens = _root.set(root), _spec.set(spec)
    sys.path.insert(0, str(root))
    try:
        runpy.run_path(str(root / name), run_name="__main__")
    except Problem as problem:
        raise pulumi.RunError(str(problem)) from None
    except pulumi.RunError:
        raise
    except Exception as error:
        kept = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if "runpy" not in frame.filename and frame.filename != __file__
        ]
        lines = traceback.format_list(kept) + traceback.format_exception_only(error)
        raise pulumi.RunError("the program failed:\n" + "".join(lines)) from None
    finally:
        sys.path[:] = before
        _root.reset(tokens[0])
        _spec.reset(tokens[1])


def deploy() -> None:
    """Build the environment that ``modelyard:spec`` of the selected stack describes, in the project folder.

    Raises:
        pulumi.RunError: The spec is wrong, or this release cannot build it; in the words of the Problem.
    """
    try:
        spec = _spec.get() or configured()
        blueprint = find(spec.blueprint)
        blueprint.require_built()
        target = blueprint.attribute("target")
    except Problem as problem:
        raise pulumi.RunError(str(problem)) from None
    folder = (_root.get() or Path.cwd()).resolve()
    environment = target.build(spec, pulumi.get_project(), pulumi.get_stack(), folder)
    pulumi.export("environment", environment)
    # What anyone may read, and what else decides the contents of the secret one: a plan with no change in
    # resources, spec and version changes nothing at all.
    pulumi.export("urls", pulumi.Output.unsecret(environment).apply(_urls))
    pulumi.export("spec", spec.model_dump(mode="json"))
    pulumi.export("modelyard", version("modelyard"))


def _urls(environment: dict[str, Any]) -> dict[str, str]:
    """URL of each service by name; none holds a credential."""
    return {each["name"]: each["url"] for each in environment["services"] if each["url"]}


def configured() -> EnvironmentSpec:
    """The spec of the selected stack; without any, the safe local default."""
    data = pulumi.Config(NAMESPACE).get_object(KEY) or {}
    spec = validate(data, where=f"Pulumi.{pulumi.get_stack()}.yaml {NAMESPACE}:{KEY}")
    check_exceptions(spec.policy.exceptions, rules_of(spec.blueprint))
    return spec
