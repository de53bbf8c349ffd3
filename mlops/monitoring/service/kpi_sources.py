"""Where a business figure comes from: the prediction log, another database, a function of the team."""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from blueprints.environment import Environment
from blueprints.measures import VOLUME, KpiSpec
from mlops.data.tables import location, options
from mlops.monitoring.alerts.routes.base import Refused, secret

_TABLES = ("predictions", "labels", "outcomes", "failures")


class KpiError(Exception):
    """A figure cannot be had; in words that hold no secret."""


def number(value: Any) -> float | None:
    """A figure; None where there is none, or no finite one.

    Raises:
        KpiError: It is no number.
    """
    if value is None:
        return None
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise KpiError(f"expected one number, got {type(value).__name__}") from None
    return found if math.isfinite(found) else None


def ask(environment: Environment, spec: KpiSpec, start: datetime, end: datetime) -> Any:
    """The figure of a period, from its source.

    Raises:
        KpiError: It cannot be had.
        Exception: Whatever the team's own function raises.
    """
    if spec.function:
        return _function(spec.function)(start, end)
    if spec.database:
        return _of_database(spec, start, end)
    return of_log(environment, spec, start, end)


def _function(words: str) -> Callable[..., Any]:
    module, _, name = words.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise KpiError(f"{words} cannot be imported: {error}") from None
    if not callable(found):
        raise KpiError(f"{words} is no function")
    return found  # type: ignore[no-any-return]


def _of_database(spec: KpiSpec, start: datetime, end: datetime) -> Any:
    import sqlalchemy as sa

    try:
        url = sa.make_url(secret(spec.database))
    except Refused as error:
        raise KpiError(str(error)) from None
    except sa.exc.ArgumentError:
        # The words of the error hold what was given.
        raise KpiError(f"{spec.database} holds no SQLAlchemy URL") from None
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    try:
        with engine.connect() as connection:
            given = {"start": start, "end": end}
            used = {key: value for key, value in given.items() if re.search(rf":{key}\b", spec.query)}
            return _one([tuple(row) for row in connection.execute(sa.text(spec.query), used)])
    except sa.exc.DBAPIError as error:
        first = (str(error.orig).splitlines() or [""])[0][:200]
        hidden = url.password
        raise KpiError(first.replace(str(hidden), "[secret]") if hidden else first) from None
    finally:
        engine.dispose()


def of_log(environment: Environment, spec: KpiSpec, start: datetime, end: datetime) -> Any:
    """A query over the tables of the model's prediction log, by DataFusion.

    Raises:
        KpiError: It is refused, or nothing was ever logged of the model.
    """
    import deltalake

    known_as = options(environment.storage)
    builder = deltalake.QueryBuilder()
    query = spec.query
    for name, moment in (("start", start), ("end", end)):
        query = re.sub(rf":{name}\b", f"TIMESTAMP '{moment.isoformat()}'", query)
    for table in _TABLES:
        if not re.search(rf"\b{table}\b", query):
            continue
        uri = location(environment, table, spec.model)
        if not deltalake.DeltaTable.is_deltatable(uri, storage_options=known_as):
            if spec.name != VOLUME:
                _served(environment, spec)
            return None
        builder = builder.register(table, deltalake.DeltaTable(uri, storage_options=known_as))
    try:
        import pyarrow as pa

        found = pa.table(builder.execute(query).read_all())
    except deltalake.exceptions.DeltaError as error:
        raise KpiError((str(error).splitlines() or [""])[0][:300]) from None
    return _one([tuple(row.values()) for row in found.to_pylist()])


def _served(environment: Environment, spec: KpiSpec) -> None:
    """Raises:
    KpiError: Nothing was ever logged of that model: its name may be wrong.
    """
    import deltalake

    known_as = options(environment.storage)
    uris = (location(environment, table, spec.model) for table in _TABLES)
    if not any(deltalake.DeltaTable.is_deltatable(uri, storage_options=known_as) for uri in uris):
        raise KpiError(f"nothing was logged of a model {spec.model} yet")


def _one(rows: list[tuple[Any, ...]]) -> Any:
    if not rows:
        return None
    if len(rows) > 1 or len(rows[0]) != 1:
        raise KpiError(f"expected one number, got {len(rows)} rows of {len(rows[0])} columns")
    return rows[0][0]
