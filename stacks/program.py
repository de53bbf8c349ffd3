"""The one Pulumi program: the console, ``modelyard up`` and plain ``pulumi up`` all run :func:`deploy`."""

from __future__ import annotations

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


def deploy(root: Path | None = None) -> None:
    """Build the environment that ``modelyard:spec`` of the selected stack describes.

    Args:
        root: The project folder; None: the current one, which is where ``pulumi up`` runs a program.

    Raises:
        pulumi.RunError: The spec is wrong, or this release cannot build it; in the words of the Problem.
    """
    try:
        spec = configured()
        blueprint = find(spec.blueprint)
        blueprint.require_built()
        target = blueprint.attribute("target")
    except Problem as problem:
        raise pulumi.RunError(str(problem)) from None
    folder = (root or Path.cwd()).resolve()
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
