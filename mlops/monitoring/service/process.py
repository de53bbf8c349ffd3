"""The monitor's process: settings, database, the thread that looks, HTTP."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from pathlib import Path

import uvicorn

from blueprints.errors import Problem
from mlops.governance.audit import AuditLog
from mlops.monitoring.alerts import Alerts, AlertStore, Notifier
from mlops.monitoring.service.api import Api
from mlops.monitoring.service.figures import Figures
from mlops.monitoring.service.monitor import Monitor
from mlops.serving.settings import listen, read

log = logging.getLogger(__name__)


def _store(url: str) -> AlertStore:
    """The alert store, waiting for a database that is still starting."""
    for attempt in range(60):
        try:
            return AlertStore(url)
        except Exception as error:
            log.warning("the database does not answer yet: %s", str(error).splitlines()[0][:200])
            time.sleep(min(5, 0.2 * (attempt + 1)))
    raise Problem("the database does not answer", where="monitoring", todo="modelyard logs database")


def main() -> int:
    """Watch until asked to end."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        settings = read()
        reference = settings.environment.monitoring
        if reference is None:
            raise Problem("no monitoring in the environment", where="MODELYARD_ENVIRONMENT")
        store = _store(reference.database.url.get_secret_value())
    except Problem as problem:
        print(problem, file=sys.stderr)  # noqa: T201
        return int(problem.code)
    book = Alerts(store, settings.spec.monitoring.alerts, settings.environment.name)
    monitor = Monitor(settings.environment, settings.spec.monitoring, book)
    figures = Figures(settings.environment, settings.spec.monitoring, book)
    audit_file = os.environ.get("MODELYARD_AUDIT_FILE")
    notifier = Notifier(book)
    notifier.start()
    api = Api(
        monitor,
        figures,
        book,
        reference.token.get_secret_value(),
        AuditLog(Path(audit_file)) if audit_file else None,
        notifier.faults,
    )
    for name, each in (("monitor", monitor.run), ("figures", figures.run)):
        threading.Thread(target=each, name=name, daemon=True).start()
    config = uvicorn.Config(api.app(), log_level="warning", access_log=False, lifespan="off")
    try:
        uvicorn.Server(config).run(sockets=[listen(settings.port)])
    finally:
        monitor.stop()
        figures.stop()
        notifier.stop()
    return 0
