"""A child that records and sends, to be killed: ``python -m … DATABASE RECEIVER``; a line ``MODEL`` on stdin
forks one that records two bad windows of the model, says ``committed PID``, and sends."""

from __future__ import annotations

import os
import sys

from blueprints.alerting import AlertsSpec, RouteSpec
from mlops.monitoring.alerts import Alerts, AlertStore, Notifier, Window
from tests.mlops.monitoring.alerts.made import finding

KEY = "KILLED_TEST_KEY"


def alerts(url: str, receiver: str) -> Alerts:
    """The book of all rounds."""
    hook = RouteSpec(name="hook", kind="webhook", url=receiver, secret=f"env:{KEY}")
    return Alerts(AlertStore(url), AlertsSpec(routes=(hook,)), "prod")


def once(url: str, receiver: str, model: str, send: bool) -> None:
    """Record, and send."""
    book = alerts(url, receiver)
    for _ in range(2):
        book.record([finding("x")], Window(model, "1", None, None, 1000), {f"log:{model}": "2"})
    sys.stdout.write(f"committed {os.getpid()}\n")
    sys.stdout.flush()
    if send:
        Notifier(book).deliver()
    sys.stdin.readline()


def main() -> None:
    """Fork for every line."""
    import httpx
    import psycopg  # noqa: F401 - loaded once, here
    import sqlalchemy  # noqa: F401

    httpx.Client(trust_env=False).close()
    for line in sys.stdin:
        model, send = line.split()
        pid = os.fork()
        if pid == 0:
            once(sys.argv[1], sys.argv[2], model, send == "send")
            os._exit(0)
        os.waitpid(pid, 0)
        sys.stdout.write("over 0\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
