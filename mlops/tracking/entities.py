"""What the tracking server knows, as frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class Experiment:
    """An experiment; ``stage`` is ``active`` or ``deleted``."""

    id: str
    name: str
    stage: str
    created: datetime | None


@dataclass(frozen=True)
class DatasetInput:
    """A dataset a run read: its name, content digest, kind of source and what it was read for."""

    name: str
    digest: str
    source: str
    context: str


@dataclass(frozen=True)
class Run:
    """A run. ``status`` is MLflow's word: RUNNING, SCHEDULED, FINISHED, FAILED, KILLED."""

    id: str
    name: str
    experiment_id: str
    status: str
    start: datetime | None
    end: datetime | None
    user: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    inputs: tuple[DatasetInput, ...] = ()

    @property
    def seconds(self) -> float | None:
        """How long it took; None while it runs."""
        return (self.end - self.start).total_seconds() if self.start and self.end else None


@dataclass(frozen=True)
class RunPage:
    """One page of runs; ``next_token`` is empty on the last."""

    runs: tuple[Run, ...]
    next_token: str


@dataclass(frozen=True)
class MetricPoint:
    """One value of a metric."""

    step: int
    timestamp: datetime
    value: float


@dataclass(frozen=True)
class ModelVersion:
    """One version of a registered model."""

    name: str
    version: str
    run_id: str
    status: str
    created: datetime | None
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    source: str
    description: str


@dataclass(frozen=True)
class RegisteredModel:
    """A registered model; ``aliases`` maps an alias to a version; ``versions`` are the newest the server
    names, newest first."""

    name: str
    description: str
    created: datetime | None
    updated: datetime | None
    aliases: Mapping[str, str]
    tags: Mapping[str, str] = field(default_factory=dict)
    versions: tuple[ModelVersion, ...] = ()
