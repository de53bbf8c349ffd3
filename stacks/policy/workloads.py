"""What runs, on any target: the containers of a task or a pod, and our supervised processes."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from stacks.policy.rule import UNKNOWN, Resource

SERVICE = "modelyard:local:Service"
TASK = "aws:ecs/taskDefinition:TaskDefinition"
#: Kubernetes kinds that run pods -> path of the pod's spec.
PODS = {
    "kubernetes:core/v1:Pod": "spec",
    "kubernetes:apps/v1:Deployment": "spec.template.spec",
    "kubernetes:apps/v1:StatefulSet": "spec.template.spec",
    "kubernetes:apps/v1:DaemonSet": "spec.template.spec",
    "kubernetes:batch/v1:Job": "spec.template.spec",
    "kubernetes:batch/v1:CronJob": "spec.jobTemplate.spec.template.spec",
}
CONTAINERS = frozenset({TASK, *PODS})
WORKLOADS = frozenset({SERVICE, *CONTAINERS})


@dataclass(frozen=True)
class Container:
    """One process or container.

    Attributes:
        name: How its resource calls it.
        image: The image; None for a process, or when it is not known yet.
        argv: Entry point and arguments, those known.
        env: Environment variables that are written out, those known; references to secrets are not here.
    """

    name: str
    image: str | None
    argv: tuple[str, ...]
    env: Mapping[str, str]


def containers(resource: Resource) -> Iterator[Container]:
    """Every container of ``resource``."""
    if resource.type == SERVICE:
        yield Container(resource.name, None, _words(resource.get("argv")), _map(resource.get("env")))
    elif resource.type == TASK:
        for each in _definitions(resource.get("containerDefinitions")):
            argv = _words(each.get("entryPoint")) + _words(each.get("command"))
            yield Container(
                str(each.get("name")), _text(each.get("image")), argv, _pairs(each.get("environment"))
            )
    elif resource.type in PODS:
        pod = PODS[resource.type]
        for kind in ("initContainers", "containers"):
            for each in resource.maps(f"{pod}.{kind}"):
                argv = _words(each.get("command")) + _words(each.get("args"))
                yield Container(
                    str(each.get("name")), _text(each.get("image")), argv, _pairs(each.get("env"))
                )


def mlflow_server(container: Container) -> list[str] | None:
    """The words after ``mlflow server`` when the container runs one, through a shell or not; else None."""
    words: list[str] = []
    for word in container.argv:
        # sh -c "exec mlflow server …" is one word.
        words += _split(word) if "mlflow server" in word else [word]
    for at, (first, second) in enumerate(pairwise(words)):
        if first.rsplit("/", 1)[-1] == "mlflow" and second == "server":
            return words[at + 2 :]
    return None


def option(words: list[str], name: str) -> str | None:
    """The value of ``--name=value`` or ``--name value``; the last one counts. None when it is not there."""
    value = None
    for at, word in enumerate(words):
        if word.startswith(f"--{name}="):
            value = word.partition("=")[2]
        elif word == f"--{name}" and at + 1 < len(words):
            value = words[at + 1]
    return value


def document(value: Any) -> Any:
    """JSON text, or what it would become, as data; None when it is neither or not known."""
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return None
    return value if isinstance(value, Mapping | list) else None


def _definitions(value: Any) -> list[Mapping[str, Any]]:
    found = document(value)
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _words(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(str(word) for word in value if word is not UNKNOWN) if isinstance(value, list) else ()


def _map(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        return {}
    return {str(key): item for key, item in value.items() if isinstance(item, str)}


def _pairs(value: Any) -> dict[str, str]:
    """``[{name, value}]``, as ECS and Kubernetes write it; what refers to a secret has no value."""
    found = value if isinstance(value, list) else []
    return {
        str(each["name"]): each["value"]
        for each in found
        if isinstance(each, Mapping) and each.get("name") and isinstance(each.get("value"), str)
    }
