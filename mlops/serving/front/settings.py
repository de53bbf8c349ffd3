"""What the front is told by whoever starts it, and where its files are."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from blueprints.errors import Problem

#: Folder of the front; gateways read it, too, to find the socket.
FOLDER = "MODELYARD_FRONT"
#: A file with what may change while the front runs: base URLs of the replicas in the order of their numbers,
#: and the deadline in seconds: ``{"replicas": ["http://…"], "deadline": 30.0}``.
SETTINGS = "MODELYARD_FRONT_SETTINGS"
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
    """Settings from environment variables and the file that they name.

    Raises:
        Problem: One is missing or cannot be read.
    """
    missing = [name for name in ("MODELYARD_PORT", SETTINGS, FOLDER) if not variables.get(name)]
    if missing:
        raise Problem(
            f"{', '.join(missing)} not set",
            where="environment of the process",
            todo="services are started by modelyard up",
        )
    folder, path = Path(variables[FOLDER]), Path(variables[SETTINGS])
    try:
        found = json.loads(path.read_text())
        replicas = tuple(str(each).removeprefix("http://").rstrip("/") for each in found["replicas"])
        deadline = float(found["deadline"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Problem(
            f"the settings of the front cannot be read: {error}",
            where=str(path),
            expected="replicas and deadline as JSON",
            todo="modelyard up writes it again",
        ) from None
    folder.mkdir(parents=True, exist_ok=True)
    return FrontSettings(int(variables["MODELYARD_PORT"]), replicas, folder, deadline)


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
