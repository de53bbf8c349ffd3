"""Appends for ever and says on its output what is acknowledged, while the thread commits as fast as it can.

``python -m tests.mlops.serving.log_writer FOLDER FIRST STORAGE_JSON``
"""

from __future__ import annotations

import sys
from pathlib import Path

from blueprints.environment import StorageRef
from mlops.serving.log import PredictionLog
from tests.mlops.serving.logs import append, environment

if __name__ == "__main__":
    folder, number = Path(sys.argv[1]), int(sys.argv[2])
    storage = StorageRef.model_validate_json(sys.argv[3]) if len(sys.argv) > 3 else None
    log = PredictionLog(folder / "log", environment(folder, storage), interval=0.01)
    log.start()
    while True:
        append(log, str(number), str(number + 1))
        number += 2
        print(number, flush=True)  # noqa: T201
