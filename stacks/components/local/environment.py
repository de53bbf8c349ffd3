"""The whole `local` target: every layer, and the Environment they make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pulumi

from blueprints.environment import Environment, ServiceRef
from blueprints.layers import Layer
from blueprints.spec import EnvironmentSpec
from stacks.components.local.access import Access
from stacks.components.local.database import Database
from stacks.components.local.monitoring import Monitoring
from stacks.components.local.network import Network
from stacks.components.local.resources import Home
from stacks.components.local.serving import FRONT_HEALTH, Serving
from stacks.components.local.storage import Storage
from stacks.components.local.tracking import ADMIN, Tracking


def build(spec: EnvironmentSpec, project: str, name: str, root: Path) -> pulumi.Output[dict[str, Any]]:
    """Build the environment in ``root``; returns the Environment contract as plain data (secret)."""
    folder = root / ".modelyard" / name
    home = Home(str(folder), spec.protected)
    access = Access(home)
    network = Network(home)
    database = Database(spec.database, home, access, network)
    storage = Storage(spec.storage, home, access, network)
    tracking = Tracking(
        spec.tracking, home, access, network, database, storage, spec.database.max_connections
    )
    core: dict[str, Any] = {
        "project": project,
        "name": name,
        "blueprint": spec.blueprint,
        "protected": spec.protected,
        "root": str(root),
        "tracking": {"url": tracking.url, "username": ADMIN, "password": tracking.password},
        "storage": {
            "kind": spec.storage.kind,
            "buckets": storage.buckets,
            "endpoint_url": storage.endpoint,
            "access_key": storage.access_key,
            "secret_key": storage.secret_key,
        },
        "databases": {},
    }
    serving = monitoring = None
    if spec.monitoring.enabled:
        audit = str(root / ".modelyard" / "audit.jsonl")
        monitoring = Monitoring(spec.monitoring, home, access, network, database, audit)
    if spec.serving.enabled:
        token = access.secret("serving-token")
        # The gateway reports rollouts to the monitor; the database is none of its business.
        reports = monitoring and {
            "url": monitoring.url,
            "token": monitoring.token,
            "database": {"name": "", "url": ""},
        }
        view = {**core, "protected": False, "serving": {"url": "", "token": token}, "monitoring": reports}
        serving = Serving(spec.serving, home, access, network, _document(view))
    gateway = serving and {
        "url": serving.url,
        "token": serving.token,
        "replicas": list(serving.replicas),
    }
    if monitoring:
        alerts = {"name": "monitoring", "url": database.urls["monitoring"]}
        reference = {"url": "", "token": monitoring.token, "database": alerts}
        monitoring.start(_document({**core, "protected": False, "serving": gateway, "monitoring": reference}))
    whole = {
        **core,
        "databases": {key: {"name": key, "url": url} for key, url in database.urls.items()},
        "serving": gateway,
        "monitoring": monitoring
        and {
            "url": monitoring.url,
            "token": monitoring.token,
            "database": {"name": "monitoring", "url": database.urls["monitoring"]},
        },
        "services": _services(spec, folder, database, storage, tracking, serving, monitoring),
    }
    known: pulumi.Output[dict[str, Any]] = pulumi.Output.from_input(whole)
    return pulumi.Output.secret(known.apply(_checked))


def _document(view: dict[str, Any]) -> pulumi.Output[str]:
    """An Environment as the JSON a service process receives."""
    return pulumi.Output.from_input(view).apply(lambda known: json.dumps(_checked(known), sort_keys=True))


def _checked(known: dict[str, Any]) -> dict[str, Any]:
    """Plain data that the contract accepts, or an error here rather than in a consumer."""
    return dict(Environment.model_validate(known).revealed())


def _services(
    spec: EnvironmentSpec,
    folder: Path,
    database: Database,
    storage: Storage,
    tracking: Tracking,
    serving: Serving | None,
    monitoring: Monitoring | None,
) -> list[dict[str, Any]]:
    def row(name: str, layer: Layer, title: str, url: Any = "", health: str = "") -> dict[str, Any]:
        log = str(folder / "logs" / f"{name}.log")
        shown = ServiceRef(name=name, layer=layer, title=title, unit=name, log=log).model_dump(mode="json")
        return shown | {"url": url, "health": pulumi.Output.concat(url, health) if health else ""}

    rows = []
    if database.port is not None:
        url = pulumi.Output.format("tcp://127.0.0.1:{0}", database.port)
        rows.append(row("database", Layer.DATABASE, "PostgreSQL") | {"url": url, "health": url})
    if spec.storage.kind == "s3":
        rows.append(row("storage", Layer.STORAGE, "SeaweedFS S3", storage.endpoint, "/healthz"))
    rows.append(row("tracking", Layer.TRACKING, "MLflow", tracking.url, "/health"))
    if serving:
        if serving.front:
            rows.append(row("front", Layer.SERVING, "Front (HAProxy)", serving.url, FRONT_HEALTH))
        for name, url in zip(serving.names, serving.replicas, strict=True):
            rows.append(row(name, Layer.SERVING, "Gateway", url, "/v2/health/live"))
    if monitoring:
        rows.append(row("monitor", Layer.MONITORING, "Monitor", monitoring.url, "/health"))
    return rows
