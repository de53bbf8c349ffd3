"""The folder of one environment on this machine, and what lies where in it."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

#: A Unix socket's path has 104 bytes on macOS, 108 on Linux; this leaves room for a temporary suffix.
_SOCKET_LIMIT = 90


@dataclass(frozen=True)
class Home:
    """``.modelyard/<environment>`` of a project.

    Attributes:
        root: Absolute path of the folder.
    """

    root: Path

    @property
    def run(self) -> Path:
        """Supervisor and service definitions: gone after destroy."""
        return self.root / "run"

    @property
    def config(self) -> Path:
        """Configuration files of services: gone after destroy."""
        return self.root / "config"

    @property
    def logs(self) -> Path:
        """Logs: gone after destroy."""
        return self.root / "logs"

    @property
    def aside(self) -> Path:
        """What no resource owned and was put out of use: gone after destroy."""
        return self.root / "aside"

    @property
    def data(self) -> Path:
        """Everything that destroy keeps."""
        return self.root / "data"

    @property
    def secrets(self) -> Path:
        """Generated secrets; they live with the data they open."""
        return self.data / "secrets"

    @property
    def project(self) -> Path:
        """The project folder."""
        return self.root.parent.parent

    @property
    def socket(self) -> Path:
        """The supervisor's control socket; in the temporary folder when the path would be too long."""
        near = self.run / "supervisor.sock"
        if len(os.fsencode(near)) <= _SOCKET_LIMIT:
            return near
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"modelyard-{os.getuid()}-{digest}.sock"

    def marker(self, service: str) -> str:
        """Value of ``MODELYARD_SERVICE`` in the environment of a service's processes: names exactly one
        service of one environment on this machine."""
        return f"{self.root}/{service}"

    def log(self, service: str) -> Path:
        """The log file of a service."""
        return self.logs / f"{service}.log"


def private_folder(path: Path) -> Path:
    """Make ``path`` (with parents) a folder only its owner reads; existing ones stay as they are."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def sweep_parts(home: Home) -> None:
    """Remove the halves of files whose writer was killed before it could put them in their place."""
    import psutil

    for folder in (home.run, home.run / "services", home.config, home.secrets):
        for part in folder.glob("*.part"):
            writer = part.name.rsplit(".", 2)[-2].partition("-")[0]
            if writer.isdigit() and not psutil.pid_exists(int(writer)):
                part.unlink(missing_ok=True)


def write_private(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` (mode 0600) in one step: a reader sees the old text or the new, whole."""
    private_folder(path.parent)
    part = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
