"""Cursor: how far a reader has come in a Delta table that several writers append to.

Files are read in the order of the commits that added them. Compaction puts rows into new files without
adding any (``dataChange`` is false): those files are not for this reader, who has the old ones, and these
stay on the storage for as long as the table keeps its history.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import unquote

from blueprints.environment import StorageRef
from mlops.data.tables import folder, options

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cursor:
    """A place in a table.

    Attributes:
        version: Table version whose files are all known; -1: none.
        files: ``(path, rows)`` of the files not fully read, in reading order.
        offset: Rows already read of the first of them.
    """

    version: int = -1
    files: tuple[tuple[str, int], ...] = ()
    offset: int = 0

    def to_text(self) -> str:
        """For the store."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Cursor:
        """What the store had; the beginning when it had nothing."""
        if not text:
            return cls()
        data = json.loads(text)
        files = tuple((path, rows) for path, rows in data["files"])
        return cls(data["version"], files, data["offset"])

    @property
    def rows(self) -> int:
        """Rows known and not read."""
        return sum(rows for _, rows in self.files) - self.offset

    def extended(self, uri: str, storage: StorageRef) -> Cursor:
        """With the files that were added since."""
        if self.version < 0:
            return self._begun(uri, storage)
        system, version, new = folder(storage, uri), self.version, list[tuple[str, int]]()
        while (added := _added(system, version + 1)) is not None:
            new += added
            version += 1
        if version == self.version and _checkpoint(system) > version:
            # The commits that follow ours were cleaned away: months of silence must not end in one for ever.
            log.warning(
                "%s: away for longer than the table keeps its history; what came meanwhile is lost", uri
            )
            return replace(self._begun(uri, storage), files=(), offset=0)
        return replace(self, version=version, files=self.files + tuple(new))

    def _begun(self, uri: str, storage: StorageRef) -> Cursor:
        """At the beginning of the table as it is: every row is in one of its files."""
        import deltalake
        import pyarrow as pa

        table = deltalake.DeltaTable(uri, storage_options=options(storage))
        found = pa.table(table.get_add_actions(flatten=True)).sort_by("modification_time")
        paths, rows = (found.column(each).to_pylist() for each in ("path", "num_records"))
        return Cursor(table.version(), tuple(zip(paths, map(int, rows), strict=True)))

    def advanced(self, rows: int) -> Cursor:
        """After ``rows`` more rows."""
        files, offset = list(self.files), self.offset + rows
        while files and offset >= files[0][1]:
            offset -= files.pop(0)[1]
        return replace(self, files=tuple(files), offset=offset)

    def read(self, uri: str, storage: StorageRef, rows: int) -> Any:
        """The next rows, ``rows`` at most, as an Arrow table; None when there are none."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        system = folder(storage, uri)
        parts, skip, wanted = [], self.offset, rows
        for path, _ in self.files:
            if wanted <= 0:
                break
            part = pq.read_table(path, filesystem=system).slice(skip, wanted)
            parts.append(part)
            skip, wanted = 0, wanted - len(part)
        # Files of an earlier release have fewer columns.
        return pa.concat_tables(parts, promote_options="default") if parts else None


def _added(system: Any, version: int) -> list[tuple[str, int]] | None:
    """``(path, rows)`` of the files whose rows a commit added; None: there is no such commit."""
    try:
        text = system.open_input_file(f"_delta_log/{version:020}.json").read()
    except FileNotFoundError:
        return None
    actions = (json.loads(line) for line in text.splitlines() if line.strip())
    added = (action["add"] for action in actions if "add" in action)
    return sorted(
        (unquote(each["path"]), int(json.loads(each["stats"])["numRecords"]))
        for each in added
        if each["dataChange"]
    )


def _checkpoint(system: Any) -> int:
    """The version that the last checkpoint sums up; -1: there is none."""
    try:
        return int(json.loads(system.open_input_file("_delta_log/_last_checkpoint").read())["version"])
    except FileNotFoundError:
        return -1
