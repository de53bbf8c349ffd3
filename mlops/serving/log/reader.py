"""Reading the log: each prediction once, with what turned out to be true."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from blueprints.environment import Environment
from mlops.data.tables import dataset, location
from mlops.serving.log import tables

#: The clock of who wrote a label may be behind that of who answered.
_CLOCKS = timedelta(hours=1)


def read_predictions(
    environment: Environment,
    model: str,
    since: datetime | None = None,
    until: datetime | None = None,
    columns: Sequence[str] = (),
    kind: str = "predictions",
    labels: Any = None,
) -> Any:
    """Answered rows of a model, each id once: of a repeated request, the answer that was given last.

    Args:
        since: From this moment of answering on; without a zone it is UTC. Labels and metrics are looked for
            only in what was written since then too, whatever moment they name. ``until``: before this one.
        columns: Of the table only these, besides ``id`` and ``time``; empty: all.
        kind: ``predictions``, or ``shadow``: what shadow versions answered, by id and version.
        labels: Arrow table with ``id``, ``time`` and ``label``, instead of what callers sent.

    Returns:
        Arrow table in order of ``time``: the columns of :func:`mlops.serving.log.tables.schema`, then
        ``label`` (null: not known yet) and a column for each business metric, under its name. Of several
        labels of an id, that with the latest time counts. No rows when nothing was logged.
    """
    schema = tables.schema(kind)
    key = ["id"] if kind == "predictions" else ["id", "version"]
    wanted = list(dict.fromkeys([*key, "time", *columns])) if columns else schema.names
    rows = _read(environment, kind, model, since, until, wanted)
    rows = _last(rows, key)
    truth = labels if labels is not None else _read(environment, "labels", model, written=since)
    rows = _joined(rows, "label", _last(truth, ["id"]), "label")
    outcomes = _read(environment, "outcomes", model, written=since)
    for name in sorted(set(outcomes.column("name").to_pylist())):
        mine = outcomes.filter(_equals(outcomes.column("name"), name))
        rows = _joined(rows, name, _last(mine, ["id"]), "value")
    return rows


def _equals(column: Any, value: str) -> Any:
    import pyarrow.compute as pc

    return pc.equal(column, value)


def _read(
    environment: Environment,
    kind: str,
    model: str,
    since: datetime | None = None,
    until: datetime | None = None,
    columns: Sequence[str] = (),
    written: datetime | None = None,
) -> Any:
    """Rows of a table in the schema of today, whatever release wrote them; with ``written``, without the
    files that were there before."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    schema = tables.schema(kind)
    schema = pa.schema([schema.field(name) for name in columns or schema.names])
    edge = None if written is None else _utc(written) - _CLOCKS
    files = None if edge is None else lambda path, at: at >= edge
    data = dataset(environment.storage, location(environment, kind, model), files)
    if data is None:
        return schema.empty_table()
    condition = None
    for moment, later in ((since, True), (until, False)):
        if moment is not None:
            at = pa.scalar(_utc(moment), schema.field("time").type)
            part = ds.field("time") >= at if later else ds.field("time") < at
            condition = part if condition is None else condition & part
    found = data.to_table(
        columns=[name for name in schema.names if name in data.schema.names], filter=condition
    )
    whole = [
        found.column(field.name).cast(field.type)
        if field.name in found.schema.names
        else pa.nulls(len(found), field.type)
        for field in schema
    ]
    return pa.table(whole, schema=schema)


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _last(rows: Any, key: list[str]) -> Any:
    """The last row in time of each key, in order of time."""
    import numpy as np
    import pyarrow as pa

    rows = rows.sort_by("time")
    numbered = rows.select(key).append_column("row", pa.array(np.arange(len(rows))))
    last = numbered.group_by(key).aggregate([("row", "max")])
    return rows.take(np.sort(last.column("row_max").to_numpy()))


def _joined(rows: Any, name: str, found: Any, value: str) -> Any:
    """With a column ``name`` (``outcome_…`` where there is one) of the values found by id."""
    import pyarrow.compute as pc

    places = pc.index_in(rows.column("id"), value_set=found.column("id").combine_chunks())
    column = found.column(value).combine_chunks().take(places)
    return rows.append_column(f"outcome_{name}" if name in rows.schema.names else name, column)
