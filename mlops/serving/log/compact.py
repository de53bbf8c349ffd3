"""``python -m mlops.serving.log.compact predictions/delay …``: many small files become few large ones.

A process of its own, at the lowest priority: what the merge takes of memory is given back when it ends.
Readers that follow the commits (:mod:`mlops.monitoring.service.cursor`) see nothing of it; the old files
stay for 30 days.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

from blueprints.environment import VARIABLE, Environment
from mlops.data.tables import location, options

log = logging.getLogger("compact")
TARGET_BYTES = 64 * 1024 * 1024
KEPT_HOURS = 30 * 24
#: Fewer are not worth a rewrite.
FEW_FILES = 32


def compact(environment: Environment, kind: str, model: str, few: int = FEW_FILES) -> int:
    """Merge the small files of a table; returns how many there were. Files that were merged away more than
    30 days ago are deleted."""
    import deltalake
    import pyarrow as pa

    uri, storage = location(environment, kind, model), options(environment.storage)
    if not deltalake.DeltaTable.is_deltatable(uri, storage_options=storage):
        return 0
    table = deltalake.DeltaTable(uri, storage_options=storage)
    sizes: list[Any] = pa.table(table.get_add_actions(flatten=True)).column("size_bytes").to_pylist()
    if sum(size < TARGET_BYTES for size in sizes) < few:
        return 0
    done = table.optimize.compact(target_size=TARGET_BYTES, max_concurrent_tasks=1)
    table.vacuum(retention_hours=KEPT_HOURS, dry_run=False)
    return int(done["numFilesRemoved"])


def main(names: Sequence[str]) -> int:
    """Compact the tables ``KIND/MODEL``; one that fails does not keep the others."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    os.nice(19)
    environment = Environment.model_validate_json(os.environ[VARIABLE])
    failed = 0
    for name in names:
        kind, _, model = name.partition("/")
        try:
            if merged := compact(environment, kind, model):
                log.info("%s: %d files merged", name, merged)
        except Exception as error:
            failed = 1
            log.warning("%s: %s", name, (str(error).splitlines() or [""])[0][:200])
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
