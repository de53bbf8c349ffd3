"""What a gateway process is told by whoever starts it: environment variables, nothing else."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from blueprints.environment import VARIABLE, Environment
from blueprints.errors import Problem
from blueprints.keys import validate
from blueprints.spec import EnvironmentSpec

LOOPBACK = "127.0.0.1"


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
        peers: Private base URLs of the other replicas.
        front: Folder of the front; None: there is none.
    """

    environment: Environment
    spec: EnvironmentSpec
    port: int
    replica_port: int
    replica: int
    folder: Path
    peers: tuple[str, ...] = ()
    front: Path | None = None


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
    port, private = int(variables["MODELYARD_PORT"]), int(variables.get("MODELYARD_REPLICA_PORT") or 0)
    urls = [each.strip().rstrip("/") for each in variables.get("MODELYARD_REPLICAS", "").split(",")]
    front = variables.get("MODELYARD_FRONT")
    return Settings(
        environment=Environment.model_validate_json(variables[VARIABLE]),
        spec=validate(json.loads(variables.get("MODELYARD_SPEC") or "{}"), where="MODELYARD_SPEC"),
        port=port,
        replica_port=private,
        replica=int(variables.get("MODELYARD_REPLICA") or 1),
        folder=folder,
        peers=tuple(url for url in urls if url and urlsplit(url).port != (private or port)),
        front=Path(front) if front else None,
    )


def listen(port: int, shared: bool = False) -> socket.socket:
    """A listening socket on the loopback interface; ``shared``: with the other replicas."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind((LOOPBACK, port))
    made.listen(2048)
    return made
