"""Prometheus rules and Grafana dashboards made from the same policy, for those who alert from there."""

from __future__ import annotations

from typing import Any

from blueprints.alerting import AlertsSpec

#: Share of the repeat interval after which a monitor that says nothing is missed.
_MISSED = "10m"


def prometheus(spec: AlertsSpec) -> str:
    """Rules as YAML for ``rule_files``: one an alert level, drift that persists, data that does not come, a
    monitor that is gone."""
    import yaml

    keep = f"{max(1, round(spec.keep_firing_minutes))}m"
    rules = [
        _rule(
            f"ModelAlerts{level.capitalize()}",
            f'sum by (model) (ml_alerts_firing{{severity="{level}"}}) > 0',
            "0m",
            level,
            "{{ $value }} alerts of {{ $labels.model }} fire",
            keep,
        )
        for level in ("page", "ticket")
    ]
    hours = spec.no_data_hours
    rules += [
        _rule(
            "ModelNoData",
            f"time() - max by (model) (ml_window_end_timestamp_seconds) > {round(hours * 3600)}",
            "0m",
            "ticket",
            f"no new predictions of {{{{ $labels.model }}}} for {hours:g} h",
            keep,
        ),
        _rule(
            "ModelRowsInvalid",
            "sum by (model, reason) (rate(ml_rows_invalid_total[30m]))"
            " / on (model) group_left sum by (model) (rate(ml_predictions_total[30m]))"
            f" > {round(6 * (1 - spec.objective), 10):g}",
            "30m",
            "ticket",
            "rows of {{ $labels.model }} break the contract: {{ $labels.reason }}",
            keep,
        ),
        _rule("MonitorGone", "absent(ml_alerts_firing)", _MISSED, "page", "the monitor says nothing", keep),
    ]
    document = {"groups": [{"name": "modelyard", "rules": rules}]}
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=200)


def _rule(name: str, expression: str, held: str, severity: str, summary: str, keep: str) -> dict[str, Any]:
    return {
        "alert": name,
        "expr": expression,
        "for": held,
        "keep_firing_for": keep,
        "labels": {"severity": severity},
        "annotations": {"summary": summary},
    }


def dashboard(spec: AlertsSpec) -> dict[str, Any]:
    """One Grafana dashboard (import it as JSON), a row for alerts, data, drift and performance."""
    panels = [
        _panel(0, "Alerts that fire", "sum by (model, severity) (ml_alerts_firing)", "stat"),
        _panel(1, "Columns that differ", 'ml_drift_columns{model=~"$model"}'),
        _panel(2, "Drift, the furthest", 'topk(10, ml_drift_statistic{model=~"$model"})'),
        _panel(3, "Drift found", 'ml_drift_detected{model=~"$model"} > 0', "state-timeline"),
        _panel(4, "Performance", 'ml_performance{model=~"$model"}'),
        _panel(5, "Predictions a second", 'sum by (model) (rate(ml_predictions_total{model=~"$model"}[5m]))'),
        _panel(
            6,
            "Rows that break the contract, a second",
            'sum by (model, reason) (rate(ml_rows_invalid_total{model=~"$model"}[5m]))',
        ),
        _panel(
            7,
            f"Age of the newest window, s (late after {spec.no_data_hours:g} h)",
            'time() - ml_window_end_timestamp_seconds{model=~"$model"}',
        ),
    ]
    variables = [
        {"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"},
        {
            "name": "model",
            "type": "query",
            "datasource": {"type": "prometheus", "uid": "${source}"},
            "query": "label_values(ml_model_info, model)",
            "multi": True,
            "includeAll": True,
            "refresh": 2,
        },
    ]
    return {
        "uid": "modelyard-models",
        "title": "Models",
        "tags": ["modelyard"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "time": {"from": "now-7d", "to": "now"},
        "refresh": "1m",
        "templating": {"list": variables},
        "panels": panels,
    }


def _panel(number: int, title: str, expression: str, kind: str = "timeseries") -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${source}"}
    return {
        "id": number + 1,
        "type": kind,
        "title": title,
        "datasource": source,
        "gridPos": {"x": 12 * (number % 2), "y": 8 * (number // 2), "w": 12, "h": 8},
        "targets": [{"refId": "A", "datasource": source, "expr": expression}],
        "fieldConfig": {"defaults": {}, "overrides": []},
        "options": {},
    }


def expressions(board: dict[str, Any]) -> list[str]:
    """Every query of a dashboard, the variable replaced by any model: to check them."""
    return [
        target["expr"].replace("$model", ".*") for panel in board["panels"] for target in panel["targets"]
    ]
