"""EnvironmentSpec: the one description of an environment.

It is stored as structured Pulumi config under ``modelyard:spec``. Every key has a safe default, a sentence
that says what it means (the guide shows it), and is validated here, once, for the guide, the command line
and ``pulumi up`` alike.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    SerializeAsAny,
    ValidationInfo,
    field_validator,
    model_validator,
)

from blueprints import catalog
from blueprints.alerting import AlertsSpec
from blueprints.measures import VOLUME, KpiSpec, ResourcesSpec
from blueprints.pricebook import REGION
from blueprints.section import Section as Section


def _name(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,38}[a-z0-9]|[a-z]", value):
        raise ValueError("use 1 to 40 lower-case letters, digits and hyphens, starting with a letter")
    return value


def _region(value: str) -> str:
    if not REGION.fullmatch(value):
        raise ValueError("is no region; expected one such as eu-central-1")
    return value


def _pattern(value: str) -> str:
    if not re.fullmatch(r"[a-z_*]+(\.[a-z_*]+)*", value):
        raise ValueError("use a key of the spec, * for any part of it, as serving.* or *.port")
    return value


KeyPattern = Annotated[str, AfterValidator(_pattern)]
Name = Annotated[str, AfterValidator(_name)]
Port = Annotated[int, Field(ge=1024, le=65535)]
ChosenPort = Annotated[
    Port | None,
    Field(description="TCP port on the loopback interface; empty: a free one, chosen once and kept."),
]


class DatabaseSpec(Section):
    """The relational database behind tracking, auth and orchestration."""

    kind: Literal["postgres", "sqlite"] = "postgres"
    """postgres: a real PostgreSQL cluster. sqlite: files, one writer at a time, for a laptop trial."""
    port: ChosenPort = None
    max_connections: Annotated[int, Field(ge=20, le=1000)] = 100
    """Connections PostgreSQL accepts; pools of the services are sized to fit."""


class StorageSpec(Section):
    """Object storage for artifacts, data and backups."""

    kind: Literal["s3", "folder"] = "s3"
    """s3: a real S3 API (SeaweedFS). folder: plain files, no versions, for a laptop trial."""
    port: ChosenPort = None
    versioning: bool = True
    """Keep every version of every object (s3 only)."""


class TrackingSpec(Section):
    """The MLflow tracking server and model registry."""

    port: ChosenPort = None
    workers: Annotated[int, Field(ge=1, le=16)] = 1
    """Server processes; each takes about 155 MB of memory."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names, besides loopback, that clients may use in the Host header."""


def _redacted(value: str) -> str:
    if not re.fullmatch(r"[^,:]+(:hash)?", value):
        raise ValueError("use COLUMN (its values are left out) or COLUMN:hash (a keyed hash instead)")
    return value


class LogSpec(Section):
    """The prediction log: what is recorded of requests, and what never touches a disk."""

    enabled: bool = True
    """Record answered and failed requests. Monitoring reads this record."""
    sample: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of answered rows that is recorded, chosen by their ids, so that a repeated request is treated
    as the first time."""
    redact: tuple[Annotated[str, AfterValidator(_redacted)], ...] = ()
    """Columns of any model whose values are left out of the record, or as COLUMN:hash replaced by a keyed
    hash. The words of a failure are left out then, too: a model may quote its input."""
    failed_rows: bool = False
    """Record the rows of failed requests as well, the first 100 of each, redacted like all others."""
    commit_seconds: Annotated[float, Field(ge=0.1, le=3600)] = 2.0
    """Seconds between two commits to the tables; what is recorded meanwhile is on the local disk."""


class LimitsSpec(Section):
    """What one gateway process takes on; what is more is refused at once, in words."""

    body_mb: Annotated[int, Field(ge=1, le=4096)] = 64
    """Largest body of a request, in MB."""
    rows: Annotated[int, Field(ge=1, le=10_000_000)] = 50_000
    """Most rows of a request."""
    concurrency: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Requests worked on at once."""
    queue: Annotated[int, Field(ge=0, le=1_000_000)] = 512
    """Requests that may wait beyond those; more are answered 503 with Retry-After."""
    deadline_seconds: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """Seconds after which an answer is worth nothing any more; a caller may ask for less."""


class ServingSpec(Section):
    """The gateway that answers predictions and logs every one of them."""

    enabled: bool = True
    """Bring the gateway up."""
    port: ChosenPort = None
    replicas: Annotated[int, Field(ge=1, le=16)] = 1
    """Gateway processes that share the port; each holds the served models in memory."""
    front: Literal["auto", "none"] = "auto"
    """auto: HAProxy before 2 or more replicas where it is found: a replica that dies fails no request.
    none: the replicas share the port."""
    strategy: Annotated[str, Field(pattern=r"^[a-z][ -~]{0,399}$")] = "rolling"
    """How a new version takes over when a deployment names no strategy: see `modelyard deploy --help`."""
    trust_pickle: bool = False
    """Load models whose files can run code (pickle, cloudpickle, code of their own): whoever may register
    one then runs code on the gateway's machine. Models logged with skops or ONNX need no such trust."""
    threads: Annotated[int, Field(ge=1, le=64)] = 1
    """Threads with which a model as ONNX computes one prediction."""
    isolation: Literal["auto", "never", "always"] = "auto"
    """auto: a version that runs code of its own, or whose requirements differ from the gateway's, has a
    process of its own. always: every version that is not ONNX. never: none, whatever it asks for."""
    memory_mb: Annotated[int, Field(ge=64, le=1_048_576)] = 2048
    """Memory that each process of a version in processes of its own may take, in MB."""
    workers: Annotated[int, Field(ge=1, le=64)] = 2
    """Processes at most that a version in processes of its own gets while they are busy, on each replica; one
    when they are not."""
    environments_gb: Annotated[float, Field(gt=0, le=10_000)] = 20.0
    """Disk for the environments of versions whose requirements differ, in GB, shared by all projects of a
    user: beyond it those that no process uses go, the longest unused first."""
    cache_gb: Annotated[float, Field(gt=0, le=10_000)] = 10.0
    """Disk for verified artifacts that let the gateway start without the registry, in GB."""
    limits: LimitsSpec = LimitsSpec()
    log: LogSpec = LogSpec()


class MonitoringSpec(Section):
    """The monitor that compares live data with the training reference."""

    enabled: bool = True
    """Bring the monitor up."""
    port: ChosenPort = None
    interval_seconds: Annotated[float, Field(ge=0.5, le=86400)] = 5.0
    """Seconds between two looks at the prediction log."""
    window_rows: Annotated[int, Field(ge=100, le=1_000_000)] = 2000
    """Predictions in one block: what is profiled and compared together."""
    window_blocks: Annotated[int, Field(ge=1, le=1000)] = 1
    """Newest blocks that make a window; above 1 windows slide by one block."""
    window_hours: Annotated[float, Field(ge=0, le=8760)] = 0.0
    """Instead of window_blocks: the blocks of so many hours make a window; 0: window_blocks counts."""
    block_hours: Annotated[float, Field(gt=0, le=8760)] = 24.0
    """A block with fewer than window_rows predictions, but 100, is closed after so many hours."""
    look_seconds: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """Seconds for one model in one look; what is left goes on at the next, so that none waits for another."""
    false_alarm_rate: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    """Share of windows without any change in which a drift alert may still appear, over all features."""
    kpis: tuple[KpiSpec, ...] = ()
    """Business figures that are watched."""
    volume: bool = True
    """Watch how many predictions each model makes an hour."""
    resources: ResourcesSpec = ResourcesSpec()
    alerts: AlertsSpec = AlertsSpec()

    @field_validator("kpis")
    @classmethod
    def _names_differ(cls, value: tuple[KpiSpec, ...]) -> tuple[KpiSpec, ...]:
        names = [each.name for each in value]
        if len(set(names)) < len(names):
            raise ValueError("two have the same name")
        if VOLUME in names:
            raise ValueError(f"{VOLUME} is what each model has by itself: monitoring.volume")
        return value


class OrchestrationSpec(Section):
    """Pipelines. A later release brings Dagster; until then the layer is off."""

    enabled: Literal[False] = False
    """Bring the orchestrator up."""


Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class UsageSpec(Section):
    """How much the environment is used in a month, for the estimate of what it costs. Nothing enforces it."""

    hours: Annotated[float, Field(ge=0, le=744)] = 730
    """Hours a month that the environment is up."""
    requests: Amount = 1_000_000
    """Requests to the load balancers in a month: tracking and predictions."""
    data_out_gb: Amount = 20
    """GB sent to the internet in a month."""
    private_gb: Amount = 50
    """GB through NAT gateways or interface endpoints in a month."""
    stored_gb: Amount = 100
    """GB of artifacts and data in object storage."""
    object_writes: Amount = 200_000
    """Writes and listings of objects in a month."""
    object_reads: Amount = 1_000_000
    """Reads of objects in a month."""
    backup_gb: Amount = 20
    """GB of backups beyond those that come with the database."""
    logs_gb: Amount = 10
    """GB of logs written in a month."""
    images_gb: Amount = 5
    """GB of container images kept."""
    job_hours: Amount = 60
    """Hours of tasks outside services in a month: migrations, pipeline runs."""


class CostSpec(Section):
    """What the environment may cost, and the assumptions of its estimate."""

    region: Annotated[str, AfterValidator(_region)] = "us-east-1"
    """Region whose prices the estimate takes (an environment on this machine costs nothing anywhere)."""
    budget_per_month: Amount | None = None
    """USD a month; a preview that may cost more fails. Empty: no budget."""
    usage: UsageSpec = UsageSpec()


class PromotionSpec(Section):
    """How this environment takes over the configuration of another."""

    accepts_from: tuple[str, ...] = ()
    """Environments whose configuration may be promoted to this one; empty: any of the project."""
    keep: tuple[KeyPattern, ...] = ("*.port", "cost.*")
    """Keys that promotion leaves as they are here, `*` for any part; blueprint, protected, promotion and
    drift are always this environment's own."""


class PolicyException(Section):
    """A rule of the policy pack that does not count for a while, and why."""

    rule: Annotated[str, Field(min_length=1)]
    """Id of the rule: see `modelyard policy`."""
    resource: str = ""
    """Name of the one resource it is meant for; empty: all of them."""
    reason: Annotated[str, Field(pattern=r"\S")]
    """Why it may be so; it appears in the audit log."""
    until: date
    """Last day on which it counts, YYYY-MM-DD."""


class PolicySpec(Section):
    """The rules that every preview and up is held to."""

    exceptions: tuple[PolicyException, ...] = ()
    """Rules that do not count for a while, each with its reason and its last day."""


class DriftIgnore(Section):
    """A resource whose drift does not count for a while, and why."""

    resource: Annotated[str, Field(min_length=1)]
    """Name of the resource: see `modelyard drift`."""
    reason: Annotated[str, Field(pattern=r"\S")]
    """Why it may differ; it appears in the audit log."""
    until: date
    """Last day on which it is ignored, YYYY-MM-DD."""


class DriftSpec(Section):
    """How drift of the infrastructure is judged."""

    ignore: tuple[DriftIgnore, ...] = ()
    """Resources whose drift does not count for a while, each with its reason and its last day."""


def settings_of(blueprint: str) -> type[Section]:
    """The section of a blueprint's own keys; without any, one that refuses every key."""
    known = catalog.OURS.get(blueprint) or catalog.catalog().get(blueprint)
    found: type[Section] = known.attribute("settings", Section) if known else Section
    return found


class EnvironmentSpec(Section):
    """One environment, whole. ``EnvironmentSpec()`` is the safe local default."""

    blueprint: str = "local"
    """Which blueprint builds it: see `modelyard init --help`."""
    protected: bool = False
    """Changes ask for the environment's name to be typed."""
    database: DatabaseSpec = DatabaseSpec()
    storage: StorageSpec = StorageSpec()
    tracking: TrackingSpec = TrackingSpec()
    serving: ServingSpec = ServingSpec()
    monitoring: MonitoringSpec = MonitoringSpec()
    orchestration: OrchestrationSpec = OrchestrationSpec()
    cost: CostSpec = CostSpec()
    promotion: PromotionSpec = PromotionSpec()
    policy: PolicySpec = PolicySpec()
    drift: DriftSpec = DriftSpec()
    extension: Annotated[SerializeAsAny[Section], Field(validate_default=True)] = Section()
    """Keys of the blueprint's own: see `modelyard blueprint show NAME`."""

    @field_validator("extension", mode="before")
    @classmethod
    def _as_the_blueprint_says(cls, value: object, info: ValidationInfo) -> object:
        settings = settings_of(info.data.get("blueprint", ""))
        # A fault inside keeps its place: pydantic puts `extension` before the key.
        return settings.model_validate(value.model_dump() if isinstance(value, Section) else value)

    @model_validator(mode="after")
    def _ports_differ(self) -> EnvironmentSpec:
        taken: dict[int, str] = {}
        for layer in ("database", "storage", "tracking", "serving", "monitoring"):
            port: int | None = getattr(self, layer).port
            if port is not None and port in taken:
                raise ValueError(f"{layer}.port is {port}, and so is {taken[port]}.port: give each its own")
            if port is not None:
                taken[port] = layer
        return self

    @model_validator(mode="after")
    def _monitoring_reads_the_log(self) -> EnvironmentSpec:
        if self.monitoring.enabled and not self.serving.enabled:
            raise ValueError(
                "monitoring.enabled needs serving.enabled: it reads the gateway's prediction log. "
                "Set monitoring.enabled=false as well"
            )
        if self.monitoring.enabled and not self.serving.log.enabled:
            raise ValueError(
                "monitoring.enabled needs serving.log.enabled: it reads the gateway's prediction log. "
                "Set monitoring.enabled=false as well"
            )
        return self
