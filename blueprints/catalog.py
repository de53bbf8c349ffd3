"""The catalog: what can be built, what each layer gets, what it costs and what it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.resources import files
from typing import Any

from blueprints.errors import Problem, UsageProblem
from blueprints.layers import Layer

ENTRY_POINT_GROUP = "modelyard.blueprints"


class Need(StrEnum):
    """Something a blueprint needs from the machine it is applied from; ``stacks`` knows how to check each."""

    PYTHON = "python"
    ENGINE = "engine"
    MEMORY = "memory"
    DISK = "disk"
    KUBECONFIG = "kubeconfig"
    AWS_CREDENTIALS = "aws-credentials"


@dataclass(frozen=True)
class Cost:
    """Monthly cost in USD, as a range; ``note`` says what it depends on, ``approximate`` that some of its
    prices have no checked source. An estimate of the environment itself is in :mod:`blueprints.cost`."""

    low: float
    high: float
    note: str = ""
    approximate: bool = False

    def __str__(self) -> str:
        if self.note and self.high == 0:
            return self.note
        about = "about " if self.approximate else ""
        return "0" if self.high == 0 else f"{about}{self.low:,.0f} – {self.high:,.0f} USD"


@dataclass(frozen=True)
class Blueprint:
    """One way to build an environment.

    Attributes:
        name: What ``--blueprint`` takes.
        title: One line for the guide.
        layers: What each layer gets, in words.
        needs: What the machine must have, with the least amount where it is one (MB).
        cost: Per month.
        minutes: Typical time of the first ``up``, minutes.
        built: Whether this release can build it; the catalog lists it either way and says so.
        target: Importable module with ``build(spec, project, name, root) -> Output[Environment document]``;
            ``root`` is the absolute path of the project folder.
        docs: Its page, ``package:file``.
        settings: Keys of its own, ``module:Class`` of a :class:`blueprints.spec.Section`: the section
            ``extension`` of a spec that names this blueprint.
        prices: A price book of its own, ``package:file``, laid over the packaged one.
        charges: What its own resource types are billed for, ``module:NAME`` of a map from type token to rule,
            as :data:`blueprints.charges.RULES`.
        rules: Policy rules of its own, ``module:NAME`` of a tuple.
    """

    name: str
    title: str
    layers: Mapping[Layer, str]
    needs: Mapping[Need, int]
    cost: Cost
    minutes: float
    built: bool
    target: str
    keywords: tuple[str, ...] = field(default=())
    docs: str = ""
    settings: str = ""
    prices: str = ""
    charges: str = ""
    rules: str = ""

    def require_built(self) -> None:
        """Raise a clear :class:`Problem` when this release cannot build the blueprint yet."""
        if not self.built:
            raise Problem(
                f"the {self.name} blueprint is in the catalog, and this release cannot build it yet",
                where="blueprint",
                expected="local",
                todo="modelyard init --blueprint local",
            )

    def attribute(self, field_name: str, default: Any = None) -> Any:
        """What the ``module:NAME`` in one of its fields names; ``default`` when the field is empty.

        Raises:
            Problem: The extension lacks it.
        """
        reference: str = getattr(self, field_name)
        if not reference:
            return default
        module, _, name = reference.partition(":")
        try:
            found = import_module(module)
            return getattr(found, name) if name else found
        except (ImportError, AttributeError) as error:
            raise self._lacks(field_name, str(error)) from None

    def text(self, field_name: str) -> str:
        """The file that the ``package:file`` in one of its fields names; empty when the field is.

        Raises:
            Problem: The extension lacks it.
        """
        reference: str = getattr(self, field_name)
        if not reference:
            return ""
        package, _, name = reference.partition(":")
        try:
            return (files(package) / name).read_text(encoding="utf-8")
        except (ImportError, OSError, UnicodeDecodeError) as error:
            raise self._lacks(field_name, str(error)) from None

    def _lacks(self, field_name: str, why: str) -> Problem:
        return Problem(
            f"its {field_name} is {getattr(self, field_name)!r}, which cannot be read: {why}",
            where=f"blueprint {self.name}",
            expected="a complete installation of its package",
            todo=f"modelyard blueprint check {self.name}",
        )


LOCAL = Blueprint(
    name="local",
    title="Everything on this machine: real parts, no containers, no account",
    layers={
        Layer.DATABASE: "PostgreSQL 18",
        Layer.STORAGE: "S3 (SeaweedFS)",
        Layer.TRACKING: "MLflow 3 with accounts",
        Layer.SERVING: "gateway, logs every prediction",
        Layer.MONITORING: "monitor: drift, performance",
        Layer.ORCHESTRATION: "off (a later release: Dagster)",
        Layer.NETWORK: "loopback, free ports kept",
        Layer.ACCESS: "generated, encrypted",
    },
    needs={Need.PYTHON: 0, Need.ENGINE: 0, Need.MEMORY: 1500, Need.DISK: 2000},
    cost=Cost(0, 0),
    minutes=0.5,
    built=True,
    target="stacks.components.local.environment",
    docs="blueprints:docs/local.md",
)

KUBERNETES = Blueprint(
    name="kubernetes",
    title="Your cluster, any vendor",
    layers={
        Layer.DATABASE: "CloudNativePG, or yours",
        Layer.STORAGE: "S3, or SeaweedFS",
        Layer.TRACKING: "MLflow Deployment, migration Job",
        Layer.SERVING: "gateway Deployment, autoscaled",
        Layer.MONITORING: "monitor, ServiceMonitor, rules",
        Layer.ORCHESTRATION: "Dagster, K8sRunLauncher",
        Layer.NETWORK: "namespace, policies, TLS edge",
        Layer.ACCESS: "roles and bindings, secrets",
    },
    needs={Need.PYTHON: 0, Need.ENGINE: 0, Need.KUBECONFIG: 0},
    cost=Cost(0, 0, "your nodes"),
    minutes=3,
    built=False,
    target="stacks.components.kubernetes.environment",
)

AWS = Blueprint(
    name="aws",
    title="One account, managed parts",
    layers={
        Layer.DATABASE: "RDS PostgreSQL, Multi-AZ",
        Layer.STORAGE: "S3 + KMS",
        Layer.TRACKING: "MLflow on Fargate, behind an ALB",
        Layer.SERVING: "gateway on Fargate, weighted",
        Layer.MONITORING: "monitor, CloudWatch, SNS",
        Layer.ORCHESTRATION: "Dagster, EcsRunLauncher",
        Layer.NETWORK: "VPC, private subnets, ALB",
        Layer.ACCESS: "IAM least privilege, OIDC",
    },
    needs={Need.PYTHON: 0, Need.ENGINE: 0, Need.AWS_CREDENTIALS: 0},
    cost=Cost(320, 460, "two zones, small sizes", approximate=True),
    minutes=14,
    built=False,
    target="stacks.components.aws.environment",
)


OURS = {blueprint.name: blueprint for blueprint in (LOCAL, KUBERNETES, AWS)}


def catalog() -> dict[str, Blueprint]:
    """Every blueprint by name: ours first, then those of other packages (entry point group
    ``modelyard.blueprints``). One that cannot be loaded is left out: see :func:`broken`."""
    return OURS | _installed()[0]


def broken() -> dict[str, str]:
    """Blueprints of other packages that cannot be loaded: name -> why."""
    return _installed()[1]


@cache
def _installed() -> tuple[dict[str, Blueprint], dict[str, str]]:
    found: dict[str, Blueprint] = {}
    faults: dict[str, str] = {}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name in OURS:
            continue
        try:
            blueprint = point.load()
        except Exception as error:  # another package's code: whatever it raises is its own fault
            faults[point.name] = f"{type(error).__name__}: {error}"
            continue
        if isinstance(blueprint, Blueprint):
            found[point.name] = blueprint
        else:
            faults[point.name] = f"{point.value} is no blueprints.catalog.Blueprint"
    return found, faults


def find(name: str) -> Blueprint:
    """The blueprint called ``name``.

    Raises:
        UsageProblem: There is none, or it cannot be loaded; lists those that there are.
    """
    if name in OURS:
        return OURS[name]
    known, faults = _installed()
    if name in faults:
        raise UsageProblem(
            f"the {name} blueprint cannot be loaded: {faults[name]}",
            where="blueprint",
            expected="a package whose entry point names a Blueprint",
            todo="reinstall the package that brings it, or tell its authors",
        )
    if name not in known:
        raise UsageProblem(
            f"no blueprint is called {name!r}", where="blueprint", expected=" or ".join(OURS | known)
        )
    return known[name]
