"""What the monitor knows now, as OpenMetrics text: base units, no timestamps, never a value of a category."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mlops.monitoring.alerts.alert import LEVELS, aware
from mlops.monitoring.alerts.store import AlertStore
from mlops.openmetrics import head, labels

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
#: Columns of one model version that are exported: those that differ most. All are in the store.
COLUMNS = 50
_DRIFT = ("drift", "missing", "prediction")


def exposition(store: AlertStore, columns: int = COLUMNS) -> str:
    """The newest window of every model version that is still watched, the alerts that fire, the counters.

    Args:
        columns: Most columns exported for a model version.
    """
    windows, findings, totals = _read(store)
    lines = [
        *_windows(windows),
        *_drift(windows, findings, columns),
        *_performance(windows, findings),
        *_totals(totals),
        *_alerts(store),
        "# EOF",
        "",
    ]
    return "\n".join(lines)


Rows = list[dict[str, Any]]


def _read(store: AlertStore) -> tuple[dict[int, dict[str, Any]], Rows, Rows]:
    """The newest window of each (model, version) among each model's last, and its findings."""
    import sqlalchemy as sa

    from mlops.monitoring.alerts.tables import FINDINGS, TOTALS, WINDOWS

    rank = sa.func.row_number().over(partition_by=WINDOWS.c.model, order_by=WINDOWS.c.id.desc())
    ranked = sa.select(WINDOWS.c.id, WINDOWS.c.model, WINDOWS.c.version, WINDOWS.c.kind, rank.label("rank"))
    last = ranked.subquery()
    # A version without any of the model's last 100 windows is gone, and its series with it.
    newest = (
        sa.select(sa.func.max(last.c.id))
        .where(last.c.rank <= 100)
        .group_by(last.c.model, last.c.version, last.c.kind)
    )
    with store.reading() as connection:
        chosen = connection.execute(sa.select(WINDOWS).where(WINDOWS.c.id.in_(newest))).mappings().all()
        windows = {int(row["id"]): dict(row) for row in chosen}
        names = ("window", "column", "family", "test", "statistic", "p_adjusted", "effect", "floor", "found")
        query = sa.select(*(FINDINGS.c[name] for name in names)).where(
            FINDINGS.c.window.in_(list(windows)) & (FINDINGS.c.segment == "")
        )
        findings = [dict(row) for row in connection.execute(query).mappings()]
        totals = [dict(row) for row in connection.execute(sa.select(TOTALS)).mappings()]
    return windows, findings, totals


def _windows(windows: Mapping[int, Mapping[str, Any]]) -> Iterator[str]:
    whole = [w for w in windows.values() if w["kind"] == "rows"]
    yield from head("ml_model", "info", "Model versions that are watched.")
    for w in whole:
        yield f"ml_model_info{_labels(model=w['model'], version=w['version'])} 1"
    yield from head("ml_window_rows", "gauge", "Predictions in the newest window.", "rows")
    for w in whole:
        yield f"ml_window_rows{_labels(model=w['model'], version=w['version'])} {w['rows']}"
    name = "ml_window_end_timestamp_seconds"
    yield from head(name, "gauge", "Time of the newest window's last event.", "seconds")
    for w in whole:
        if (end := aware(w["end"])) is not None:
            yield f"{name}{_labels(model=w['model'], version=w['version'])} {end.timestamp()!r}"


def _drift(windows: Mapping[int, Mapping[str, Any]], findings: Rows, most: int) -> Iterator[str]:
    shown = _capped([f for f in findings if f["family"] in _DRIFT and f["column"]], most)
    for name, field, words in (
        ("ml_drift_statistic", "statistic", "Statistic of the test, in its own unit."),
        ("ml_drift_pvalue_adjusted", "p_adjusted", "P-value after correction over all tests of the window."),
        ("ml_drift_detected", "found", "1: significant, large enough, on enough rows."),
    ):
        yield from head(name, "gauge", words)
        for f in shown:
            series = _of(windows, f, column=f["column"], test=f["test"])
            value = int(f[field]) if field == "found" else float(f[field])
            yield f"{name}{series} {_number(value)}"
    yield from head("ml_drift_columns", "gauge", "Columns in which the newest window differs.", "columns")
    drifted: dict[int, set[str]] = {}
    for f in findings:
        if f["family"] in _DRIFT and f["column"]:
            drifted.setdefault(f["window"], set()).update({f["column"]} if f["found"] else ())
    for number, columns in drifted.items():
        yield f"ml_drift_columns{_of(windows, {'window': number})} {len(columns)}"


def _capped(findings: Rows, most: int) -> Rows:
    """Findings of those columns of each window that are furthest above their floor; one for each test."""
    by_window: dict[int, dict[str, float]] = {}
    for f in findings:
        scores = by_window.setdefault(f["window"], {})
        score = abs(f["effect"]) / f["floor"] if f["floor"] else abs(f["effect"])
        scores[f["column"]] = max(scores.get(f["column"], 0.0), score)
    kept = {
        (window, column)
        for window, scores in by_window.items()
        for column in sorted(scores, key=lambda name: (-scores[name], name))[:most]
    }
    unique = {
        (f["window"], f["column"], f["test"]): f for f in findings if (f["window"], f["column"]) in kept
    }
    return list(unique.values())


def _performance(windows: Mapping[int, Mapping[str, Any]], findings: Rows) -> Iterator[str]:
    yield from head("ml_performance", "gauge", "Quality of the newest window, realized or estimated.")
    unique: dict[str, float] = {}
    for f in findings:
        if f["family"] == "performance" and f["test"] != "burn":
            kind = "estimated" if f["test"].startswith("estimated") else "realized"
            metric = f["column"] or f["test"]
            unique[_of(windows, f, metric=metric, kind=kind)] = float(f["statistic"])
    for w in windows.values():
        if w["metric"] and w["quality"] is not None:
            series = _labels(model=w["model"], version=w["version"], metric=w["metric"], kind="realized")
            unique.setdefault(series, float(w["quality"]))
    for series, value in unique.items():
        yield f"ml_performance{series} {_number(value)}"


def _totals(totals: Rows) -> Iterator[str]:
    yield from head("ml_predictions", "counter", "Predictions analysed.")
    for row in totals:
        if row["name"] == "predictions":
            yield f"ml_predictions_total{_labels(model=row['model'], version=row['version'])} {row['value']}"
    yield from head("ml_rows_invalid", "counter", "Rows that broke the contract, by reason.")
    for row in totals:
        if row["name"] == "invalid":
            series = _labels(model=row["model"], version=row["version"], reason=row["reason"])
            yield f"ml_rows_invalid_total{series} {row['value']}"


def _alerts(store: AlertStore) -> Iterator[str]:
    """Of every model known, also where nothing fires: a series that comes and goes cannot be alerted on."""
    counts: dict[tuple[str, str], int] = {("", level): 0 for level in LEVELS}
    for alert in store.alerts():
        for level in LEVELS:
            counts.setdefault((alert.model, level), 0)
        if alert.state in ("firing", "acknowledged") and not alert.inhibited_by:
            counts[alert.model, alert.severity] += 1
    yield from head("ml_alerts_firing", "gauge", "Alerts that fire and are not explained by others.")
    for (model, severity), count in counts.items():
        yield f"ml_alerts_firing{_labels(model=model, severity=severity)} {count}"


def _of(windows: Mapping[int, Mapping[str, Any]], finding: Mapping[str, Any], **more: str) -> str:
    window = windows[finding["window"]]
    return _labels(model=window["model"], version=window["version"], **more)


def _labels(**values: str) -> str:
    return f"{{{labels(**values)}}}"


def _number(value: float) -> str:
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)
