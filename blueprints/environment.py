"""Environment: the typed view of what came up.

``stacks`` produces it as the stack output ``environment``; ``mlops`` and the console consume it and never
know which target made it. The shape is a contract: fields are added, never renamed, and :data:`CONTRACT`
counts the breaking changes.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, SecretStr

from blueprints.layers import Layer

CONTRACT = 1
#: The environment variable through which a service process receives its Environment, as JSON.
VARIABLE = "MODELYARD_ENVIRONMENT"


class Part(BaseModel):
    """Base of the contract: immutable; unknown fields of a newer producer are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class DatabaseRef(Part):
    """One logical database and the role that owns it.

    ``url`` is an SQLAlchemy URL with the password in it: ``postgresql+psycopg://role:…@127.0.0.1:port/name``
    or ``sqlite:////abs/path.db``.
    """

    name: str
    url: SecretStr


class StorageRef(Part):
    """Object storage. ``buckets`` maps ``artifacts``, ``data``, ``backups`` to a root URI:
    ``s3://name`` or an absolute ``file:///…`` URI."""

    kind: Literal["s3", "folder"]
    buckets: dict[str, str]
    endpoint_url: str = ""
    region: str = "us-east-1"
    access_key: str = ""
    secret_key: SecretStr = SecretStr("")


class TrackingRef(Part):
    """The MLflow server; ``username`` and ``password`` are HTTP basic credentials of its administrator."""

    url: str
    username: str = ""
    password: SecretStr = SecretStr("")


class ServingRef(Part):
    """The gateway. ``url`` is shared by all replicas; ``replicas`` are their private base URLs, for health
    and metrics of one process. ``token`` is the bearer token callers send."""

    url: str
    token: SecretStr = SecretStr("")
    replicas: tuple[str, ...] = ()


class MonitoringRef(Part):
    """The monitor's HTTP API, its bearer token, and the database its alerts live in."""

    url: str
    token: SecretStr = SecretStr("")
    database: DatabaseRef


class ServiceRef(Part):
    """One process or container of the environment, as the console lists it.

    ``name`` is what ``modelyard logs NAME`` takes; ``unit`` how the target's supervisor calls it; ``health``
    a URL that answers 200 when it is ready (empty: none, the process state alone tells)."""

    name: str
    layer: Layer
    title: str
    unit: str
    url: str = ""
    health: str = ""
    log: str = ""


class Environment(Part):
    """Everything a client of one environment needs to know."""

    contract: int = CONTRACT
    project: str
    name: str
    blueprint: str
    protected: bool = False
    root: str = ""
    """Absolute path of the project folder on this machine (targets that have one)."""
    tracking: TrackingRef
    storage: StorageRef
    databases: dict[str, DatabaseRef]
    serving: ServingRef | None = None
    monitoring: MonitoringRef | None = None
    services: tuple[ServiceRef, ...] = ()

    def revealed(self) -> dict[str, object]:
        """The contract as plain data **with secrets in clear**: for a child process's environment and the
        encrypted stack output, nothing else."""

        def reveal(value: object) -> object:
            if isinstance(value, SecretStr):
                return value.get_secret_value()
            if isinstance(value, dict):
                return {key: reveal(item) for key, item in value.items()}
            if isinstance(value, list | tuple):
                return [reveal(item) for item in value]
            return value

        data = reveal(self.model_dump())
        assert isinstance(data, dict)
        return data
