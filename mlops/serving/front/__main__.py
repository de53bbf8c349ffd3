"""``python -m mlops.serving.front``: HAProxy before the replicas, as a child that ends with us."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import FrameType

from blueprints.errors import ExitCode, Problem
from mlops.serving.front.client import FrontClient
from mlops.serving.front.config import executable, text
from mlops.serving.front.settings import FrontSettings, private_folder_of, read, socket_path

log = logging.getLogger("front")
_PR_SET_PDEATHSIG = 1
_LOOK_SECONDS = 0.5


def _die_with_parent() -> None:
    # Runs between fork and exec; where there is no prctl a front that was killed leaves its HAProxy behind,
    # which the supervisor ends by its mark.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def write(settings: FrontSettings) -> Path:
    """Write the configuration; returns its path.

    Raises:
        Problem: The folder of the socket is not ours.
    """
    private_folder_of(socket_path(settings.folder))
    path = settings.folder / "haproxy.cfg"
    path.write_text(text(settings))
    path.chmod(0o600)
    return path


def check(program: str, path: Path) -> None:
    """Ask HAProxy whether it accepts the configuration.

    Raises:
        Problem: It does not; in its words.
    """
    done = subprocess.run([program, "-c", "-q", "-f", str(path)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Problem(
            f"{program} does not accept its configuration: {done.stderr.strip()[:500]}", where=str(path)
        )


class Return(threading.Thread):
    """Lets a replica that drained itself in again, once its old process is seen gone: whoever comes back
    under its address is a new one."""

    def __init__(self, front: FrontClient) -> None:
        super().__init__(name="front-return", daemon=True)
        self._front = front
        self.ended = threading.Event()

    def run(self) -> None:
        """Look until :attr:`ended`."""
        while not self.ended.wait(_LOOK_SECONDS):
            try:
                self.look()
            except Problem as problem:
                log.warning("%s", problem.what)

    def look(self) -> None:
        """Let in whom the health checks find gone: they keep it out until a new process answers them."""
        for name in self._front.gone():
            self._front.ready(name)
            log.info("%s is gone; it gets requests again when it is back", name)


def serve(program: str, path: Path, front: FrontClient) -> int:
    """Run HAProxy until it ends or we are asked to; returns its exit code."""
    # A session of its own: a signal to our group asks us, and we ask it, gently.
    child = subprocess.Popen(
        [program, "-db", "-f", str(path)],
        start_new_session=True,
        preexec_fn=_die_with_parent,  # no other thread runs yet
    )

    def end(number: int, frame: FrameType | None) -> None:
        # USR1: no new connections, those that are open end after their request.
        child.send_signal(signal.SIGUSR1)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    watch = Return(front)
    watch.start()
    code = child.wait()
    watch.ended.set()
    return code


def main() -> int:
    """Serve until asked to end."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    os.umask(0o077)
    try:
        settings = read()
        program = executable()
        if not program:
            raise Problem(
                "HAProxy is not on this machine",
                todo="install haproxy, or set serving.front=none",
                code=ExitCode.FAILED,
            )
        path = write(settings)
        check(program, path)
    except Problem as problem:
        print(problem, file=sys.stderr)  # noqa: T201
        return int(problem.code)
    return serve(program, path, FrontClient(settings.folder))


if __name__ == "__main__":
    sys.exit(main())
