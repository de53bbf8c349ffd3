"""What the front is told by whoever starts it, and where its files are."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from blueprints.errors import Problem

#: Folder of the front; gateways read it, too, to find the socket.
FOLDER = "MODELYARD_FRONT"
#: Addresses of the replicas, ``host:port`` separated by commas, in the order of their numbers.
REPLICAS = "MODELYARD_REPLICAS"
_LONGEST_SOCKET = 80


@dataclass(frozen=True)
class FrontSettings:
    """Settings of the front.

    Attributes:
        port: Port on the loopback interface that callers know.
        replicas: ``host:port`` of each replica; server ``r1`` is the first.
        folder: Private folder for the configuration.
        deadline: Seconds a replica may take to answer.
    """

    port: int
    replicas: tuple[str, ...]
    folder: Path
    deadline: float = 30.0


def read(variables: Mapping[str, str] = os.environ) -> FrontSettings:
    """Settings from environment variables.

    Raises:
        Problem: One is missing.
    """
    missing = [name for name in ("MODELYARD_PORT", REPLICAS, FOLDER) if not variables.get(name)]
    if missing:
        raise Problem(
            f"{', '.join(missing)} not set",
            where="environment of the process",
            todo="services are started by modelyard up",
        )
    folder = Path(variables[FOLDER])
    folder.mkdir(parents=True, exist_ok=True)
    addresses = (each.strip().removeprefix("http://").rstrip("/") for each in variables[REPLICAS].split(","))
    return FrontSettings(
        port=int(variables["MODELYARD_PORT"]),
        replicas=tuple(each for each in addresses if each),
        folder=folder,
        deadline=float(variables.get("MODELYARD_DEADLINE") or 30.0),
    )


def socket_path(folder: Path) -> Path:
    """Where the Runtime API of the front with this folder listens.

    The path of a socket is short (108 bytes, and HAProxy adds to it while it binds): in a deep folder it is
    in a private one below the system's temporary folder instead.
    """
    near = folder.absolute() / "admin.sock"
    if len(str(near).encode()) <= _LONGEST_SOCKET:
        return near
    name = hashlib.blake2b(str(folder.absolute()).encode(), digest_size=8).hexdigest()
    return Path(tempfile.gettempdir()) / f"modelyard-{os.getuid()}-{name}" / "admin.sock"


def private_folder_of(socket: Path) -> None:
    """Make the folder of a socket, shut to other users.

    Raises:
        Problem: It is another user's.
    """
    folder = socket.parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.getuid() or folder.is_symlink():
        raise Problem(
            "the folder of the front's socket is another user's", where=str(folder), todo="remove it"
        )
