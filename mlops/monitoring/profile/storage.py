"""Profiles as Arrow tables and Parquet files.

A row is a column of the profile. Its numbers are packed: differences of ascending identifiers and counts as
variable-length integers (LEB128, seven bits a byte), which the file's compression makes smaller still.
"""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from blueprints.errors import UsageProblem
from mlops.monitoring.profile.categories import BUCKETS, Categories
from mlops.monitoring.profile.columns import Column, Numbers
from mlops.monitoring.profile.profile import Profile

Ints = npt.NDArray[np.int64]

#: What is written here, and the newest that is read.
VERSION = 1
_KEY = b"modelyard.profile"


def to_arrow(profile: Profile) -> Any:
    """The profile as an Arrow table, a row a column."""
    import pyarrow as pa

    rows = [_row(name, column) for name, column in profile.columns.items()]
    fields = [(name, pa.binary()) for name in ("bins", "counts", "names", "pinned")]
    schema = pa.schema([("name", pa.string()), ("facts", pa.string()), *fields])
    head = {"version": VERSION, "rows": profile.rows, "notes": dict(profile.notes)}
    return pa.Table.from_pylist(rows, schema.with_metadata({_KEY: json.dumps(head).encode()}))


def from_arrow(table: Any) -> Profile:
    """The profile that :func:`to_arrow` wrote.

    Raises:
        UsageProblem: The table is no profile, or one of a newer format.
    """
    written = (table.schema.metadata or {}).get(_KEY)
    if written is None:
        raise UsageProblem("this table is no profile", todo="give one that a profile was written to")
    head = json.loads(written)
    if head["version"] > VERSION:
        raise UsageProblem(
            f"this profile has format {head['version']}, newer than what is read here",
            expected=f"format {VERSION} or older",
            todo="upgrade modelyard",
        )
    columns = {row["name"]: _column(row) for row in table.to_pylist()}
    return Profile(head["rows"], columns, head["notes"])


def to_bytes(profile: Profile) -> bytes:
    """The profile as a Parquet file in memory."""
    import pyarrow.parquet as pq

    target = BytesIO()
    pq.write_table(
        to_arrow(profile), target, compression="zstd", use_dictionary=False, write_statistics=False
    )
    return target.getvalue()


def from_bytes(data: bytes) -> Profile:
    """The profile that :func:`to_bytes` wrote."""
    import pyarrow.parquet as pq

    return from_arrow(pq.read_table(BytesIO(data)))


def write(profile: Profile, path: Path) -> None:
    """Write a Parquet file; whoever reads at the same time sees all of it or the one before."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(to_bytes(profile))
    partial.replace(path)


def read(path: Path) -> Profile:
    """Read a Parquet file that :func:`write` wrote."""
    return from_bytes(path.read_bytes())


def _row(name: str, column: Column) -> dict[str, Any]:
    facts: dict[str, Any] = {"rows": column.rows, "missing": column.missing, "level": column.level}
    if isinstance(column, Numbers):
        facts |= {
            "infinite": column.infinite,
            "shift": column.shift,
            "scale": column.scale,
            "nan": column.nan,
            "unit": column.unit,
            # A sum has up to 640 digits in base ten, mostly zeros at the end in base sixteen.
            "total": hex(column.total),
            "squares": hex(column.squares),
        }
        bins = _packed(np.diff(column.bins, prepend=0))
        return {"name": name, "facts": json.dumps(facts), "bins": bins, "counts": _packed(column.counts)}
    names = sorted(column.counts)
    counts = np.array([column.counts[word] for word in names], np.int64)
    facts["beyond"] = None if column.beyond is None else _packed(column.beyond).hex()
    return {
        "name": name,
        "facts": json.dumps(facts),
        "counts": _packed(counts),
        "names": json.dumps(names).encode(),
        "pinned": json.dumps(sorted(column.pinned)).encode(),
    }


def _column(row: dict[str, Any]) -> Column:
    facts = json.loads(row["facts"])
    counts = _unpacked(row["counts"])
    if row["bins"] is None:
        beyond = facts["beyond"]
        return Categories(
            facts["rows"],
            facts["missing"],
            dict(zip(json.loads(row["names"]), counts.tolist(), strict=True)),
            facts["level"],
            None if beyond is None else _unpacked(bytes.fromhex(beyond))[:BUCKETS],
            frozenset(json.loads(row["pinned"])),
        )
    return Numbers(
        facts["rows"],
        facts["missing"],
        (facts["infinite"][0], facts["infinite"][1]),
        np.cumsum(_unpacked(row["bins"])),
        counts,
        facts["shift"],
        facts["scale"],
        int(facts["total"], 16),
        int(facts["squares"], 16),
        facts["level"],
        facts["nan"],
        facts["unit"],
    )


def _packed(values: Ints) -> bytes:
    """Seven bits a byte, lowest first; the eighth says that more follow. A sign goes to the lowest bit."""
    left = ((values << 1) ^ (values >> 63)).view(np.uint64)
    parts = np.empty((len(left), 10), np.uint8)
    used = np.zeros((len(left), 10), bool)
    used[:, 0] = True
    for place in range(10):
        parts[:, place] = left & np.uint64(0x7F)
        left = left >> np.uint64(7)
        if place < 9:
            used[:, place + 1] = left > 0
            parts[:, place] |= np.where(used[:, place + 1], np.uint8(0x80), np.uint8(0))
    return parts[used].tobytes()


def _unpacked(data: bytes) -> Ints:
    parts = np.frombuffer(data, np.uint8)
    (ends,) = np.nonzero(parts < 0x80)
    if not len(ends):
        return np.empty(0, np.int64)
    starts = np.concatenate([[0], ends[:-1] + 1])
    places = np.arange(len(parts)) - np.repeat(starts, ends - starts + 1)
    bits = (parts & np.uint8(0x7F)).astype(np.uint64) << (7 * places).astype(np.uint64)
    whole = np.add.reduceat(bits, starts)
    return (whole >> np.uint64(1)).view(np.int64) ^ -(whole & np.uint64(1)).astype(np.int64)
