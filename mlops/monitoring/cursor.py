"""Cursor: how far a reader has come in a Delta table that several writers append to.

Files are read in the order the reader first saw them, which it remembers: with several writers neither the
times nor the names of files say in which order they were committed.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any


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

    def extended(self, uri: str, storage: dict[str, str]) -> Cursor:
        """With the files that were added since."""
        import deltalake

        table = deltalake.DeltaTable(uri, storage_options=storage)
        if table.version() == self.version:
            return self
        now = _files(table)
        known: set[str] = set()
        if self.version >= 0:
            known = set(_files(deltalake.DeltaTable(uri, version=self.version, storage_options=storage)))
        new = tuple(sorted((path, rows) for path, rows in now.items() if path not in known))
        return replace(self, version=table.version(), files=self.files + new)

    def advanced(self, rows: int) -> Cursor:
        """After ``rows`` more rows."""
        files, offset = list(self.files), self.offset + rows
        while files and offset >= files[0][1]:
            offset -= files.pop(0)[1]
        return replace(self, files=tuple(files), offset=offset)

    def read(self, uri: str, storage: dict[str, str], rows: int) -> Any:
        """The next rows, ``rows`` at most, as an Arrow table; None when there are none."""
        import deltalake
        import pyarrow as pa
        import pyarrow.parquet as pq

        system = deltalake.DeltaTable(uri, storage_options=storage).to_pyarrow_dataset().filesystem
        parts, skip, wanted = [], self.offset, rows
        for path, _ in self.files:
            if wanted <= 0:
                break
            part = pq.read_table(path, filesystem=system).slice(skip, wanted)
            parts.append(part)
            skip, wanted = 0, wanted - len(part)
        return pa.concat_tables(parts) if parts else None


def _files(table: Any) -> dict[str, int]:
    import pyarrow as pa

    added = pa.table(table.get_add_actions(flatten=True)).select(["path", "num_records"]).to_pylist()
    return {each["path"]: int(each["num_records"]) for each in added}
