"""What a gateway process is told by whoever starts it: environment variables, nothing else."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from blueprints.environment import VARIABLE, Environment
from blueprints.errors import Problem
from blueprints.keys import validate
from blueprints.spec import EnvironmentSpec


@dataclass(frozen=True)
class Settings:
    """Settings of one service process.

    Attributes:
        environment: The part of the Environment it works with.
        spec: The part of the spec it acts on; the rest has its defaults.
        port: Shared port.
        replica_port: Private port of this replica (0: none).
        replica: 1, 2, 3, …
        folder: Private folder that survives restarts.
        front: Folder of the front that stands before the replicas; None: they share the port.
        replicas: Private base URLs of all replicas, in order; only the first is told, who leads.
    """

    environment: Environment
    spec: EnvironmentSpec
    port: int
    replica_port: int
    replica: int
    folder: Path
    front: Path | None = None
    replicas: tuple[str, ...] = ()


def read(variables: Mapping[str, str] = os.environ) -> Settings:
    """Settings from environment variables.

    Raises:
        Problem: One is missing.
    """
    missing = [name for name in (VARIABLE, "MODELYARD_PORT", "MODELYARD_DATA_DIR") if not variables.get(name)]
    if missing:
        raise Problem(
            f"{', '.join(missing)} not set",
            where="environment of the process",
            todo="services are started by modelyard up",
        )
    folder = Path(variables["MODELYARD_DATA_DIR"])
    folder.mkdir(parents=True, exist_ok=True)
    return Settings(
        environment=Environment.model_validate_json(variables[VARIABLE]),
        spec=validate(json.loads(variables.get("MODELYARD_SPEC") or "{}"), where="MODELYARD_SPEC"),
        port=int(variables["MODELYARD_PORT"]),
        replica_port=int(variables.get("MODELYARD_REPLICA_PORT") or 0),
        replica=int(variables.get("MODELYARD_REPLICA") or 1),
        folder=folder,
        front=Path(variables["MODELYARD_FRONT"]) if variables.get("MODELYARD_FRONT") else None,
        replicas=tuple(each for each in variables.get("MODELYARD_REPLICAS", "").split(",") if each),
    )
