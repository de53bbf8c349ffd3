"""A notification on the desktop of this machine."""

from __future__ import annotations

import shutil
import subprocess
import sys

from mlops.monitoring.alerts.notice import Notice
from mlops.monitoring.alerts.routes.base import TIMEOUT, Refused


class Desktop:
    """notify-send on Linux, osascript on macOS."""

    def send(self, notice: Notice) -> None:
        """Show it."""
        try:
            done = subprocess.run(
                _command(notice), stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Refused(f"no notification ({type(error).__name__})") from None
        if done.returncode:
            raise Refused(f"no notification (exit code {done.returncode})")


def _command(notice: Notice) -> list[str]:
    name = "osascript" if sys.platform == "darwin" else "notify-send"
    program = shutil.which(name)
    if program is None:
        raise Refused(f"{name} is not on PATH")
    if sys.platform == "darwin":
        script = "on run argv\ndisplay notification (item 2 of argv) with title (item 1 of argv)\nend run"
        return [program, "-e", script, notice.title, notice.text]
    urgency = "critical" if notice.severity == "page" and notice.status != "resolved" else "normal"
    return [program, f"--urgency={urgency}", "--app-name=Modelyard", "--", notice.title, notice.text]
