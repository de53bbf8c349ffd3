"""``python -m mlops.serving``: one gateway process."""

from __future__ import annotations

import logging
import socket
import sys

import uvicorn

from blueprints.errors import Problem
from mlops.serving.app import Gateway
from mlops.serving.champions import Champions
from mlops.serving.prediction_log import PredictionLog
from mlops.serving.settings import read

LOOPBACK = "127.0.0.1"


def listen(port: int, shared: bool = False) -> socket.socket:
    """A listening socket on the loopback interface; ``shared``: with the other replicas."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind((LOOPBACK, port))
    made.listen(2048)
    return made


def main() -> int:
    """Serve until asked to end."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        settings = read()
    except Problem as problem:
        print(problem, file=sys.stderr)  # noqa: T201
        return int(problem.code)
    environment = settings.environment
    champions = Champions(environment.tracking, settings.spec.serving.trust_pickle)
    prediction_log = PredictionLog(settings.folder / "log", environment)
    token = environment.serving.token.get_secret_value() if environment.serving else ""
    sockets = [listen(settings.port, shared=True)]
    if settings.replica_port:
        sockets.append(listen(settings.replica_port))
    champions.start()
    prediction_log.start()
    app = Gateway(champions, prediction_log, token).app()
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")
    try:
        uvicorn.Server(config).run(sockets=sockets)
    finally:
        champions.stop()
        prediction_log.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
