"""What Prometheus reads, and the rules and dashboards made for it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from blueprints.alerting import AlertsSpec
from mlops.monitoring.alerts import rules
from mlops.monitoring.alerts.metrics import CONTENT_TYPE, exposition
from tests.mlops.monitoring.alerts.made import Bench, finding
from tests.mlops.yard import free_port, until
from tests.servers import Answer, serving


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    for _ in range(2):
        made.window(
            finding("x", statistic=0.31),
            finding("x", test="psi", statistic=0.7, found=False),
            finding("y", found=False, effect=0.01),
            finding('quo"te\\', "prediction", found=False),
            finding("auc", "performance", found=False, test="auc", statistic=0.8),
            finding("auc", "performance", found=False, test="estimated", statistic=0.79),
            finding("x", segment="region=EU"),
            invalid={"type": 2},
        )
    return made


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by name and labels."""
    return {
        (s.name, tuple(sorted(s.labels.items()))): s.value
        for family in text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
        for s in family.samples
    }


def value(found: dict[Any, float], name: str, **labels: str) -> float:
    """The one sample."""
    return found[name, tuple(sorted({"model": "m", "version": "1", **labels}.items()))]


def test_it_is_openmetrics_and_says_what_is(bench: Bench) -> None:
    text = exposition(bench.store)
    assert text.endswith("# EOF\n")
    found = samples(text)
    assert value(found, "ml_drift_statistic", column="x", test="ks") == 0.31
    assert value(found, "ml_drift_detected", column="x", test="ks") == 1
    assert value(found, "ml_drift_detected", column='quo"te\\', test="ks") == 0
    assert value(found, "ml_drift_pvalue_adjusted", column="y", test="ks") == 0.01
    assert value(found, "ml_drift_columns") == 1
    assert value(found, "ml_performance", metric="auc", kind="realized") == 0.8
    assert value(found, "ml_performance", metric="auc", kind="estimated") == 0.79
    assert value(found, "ml_predictions_total") == 2000
    assert value(found, "ml_rows_invalid_total", reason="type") == 4
    assert value(found, "ml_window_rows") == 1000
    assert value(found, "ml_model_info") == 1
    alerts = [
        (dict(labels), number) for (name, labels), number in found.items() if name == "ml_alerts_firing"
    ]
    firing = {labels["severity"]: number for labels, number in alerts if labels["model"]}
    # That of the segment is covered by that of all rows.
    assert firing == {"page": 0, "ticket": 1, "digest": 0}
    assert "region" not in text


def test_columns_are_capped_to_those_that_differ_most(bench: Bench) -> None:
    columns = [finding(f"c{i}", effect=0.1 + i / 1000) for i in range(300)]
    bench.window(*columns)
    found = samples(exposition(bench.store, columns=20))
    exported = {dict(labels)["column"] for name, labels in found if name == "ml_drift_statistic"}
    assert exported == {f"c{i}" for i in range(280, 300)}
    assert value(found, "ml_drift_columns") == 300


def test_a_version_that_is_gone_loses_its_series(bench: Bench) -> None:
    for _ in range(100):
        bench.window(version="2")
    versions = {dict(labels).get("version") for _, labels in samples(exposition(bench.store))}
    assert versions - {None} == {"2", "1"}
    gauges = [labels for name, labels in samples(exposition(bench.store)) if name == "ml_model_info"]
    assert [dict(labels)["version"] for labels in gauges] == ["2"]


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} on PATH: apt-get install prometheus")
    return found


def test_the_rules_are_accepted_by_promtool_and_fire(tmp_path: Path) -> None:
    promtool = _tool("promtool")
    file = tmp_path / "rules.yml"
    file.write_text(rules.prometheus(AlertsSpec(no_data_hours=2, keep_firing_minutes=10)))
    checked = subprocess.run(
        [promtool, "check", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    test = {
        "rule_files": ["rules.yml"],
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": 'ml_alerts_firing{model="m",severity="page"}', "values": "0x5 2x200"},
                    {"series": 'ml_window_end_timestamp_seconds{model="m",version="1"}', "values": "0x300"},
                ],
                "alert_rule_test": [
                    {"eval_time": "3m", "alertname": "ModelAlertsPage", "exp_alerts": []},
                    {
                        "eval_time": "8m",
                        "alertname": "ModelAlertsPage",
                        "exp_alerts": [
                            {
                                "exp_labels": {"severity": "page", "model": "m"},
                                "exp_annotations": {"summary": "2 alerts of m fire"},
                            }
                        ],
                    },
                    {"eval_time": "119m", "alertname": "ModelNoData", "exp_alerts": []},
                    {
                        "eval_time": "121m",
                        "alertname": "ModelNoData",
                        "exp_alerts": [
                            {
                                "exp_labels": {"severity": "ticket", "model": "m"},
                                "exp_annotations": {"summary": "no new predictions of m for 2 h"},
                            }
                        ],
                    },
                ],
            }
        ],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test))
    fired = subprocess.run(
        [promtool, "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert fired.returncode == 0, fired.stdout + fired.stderr


def test_a_real_prometheus_scrapes_it_and_answers_every_query_of_the_dashboard(
    tmp_path: Path, bench: Bench
) -> None:
    program = _tool("prometheus")
    port = free_port()
    board = json.loads(json.dumps(rules.dashboard(AlertsSpec())))
    body = exposition(bench.store).encode()
    with serving(lambda _: Answer(200, body, {"Content-Type": CONTENT_TYPE})) as url:
        scrape = {"job_name": "m", "static_configs": [{"targets": [url.removeprefix("http://")]}]}
        config = {"global": {"scrape_interval": "1s"}, "scrape_configs": [scrape]}
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
        argv = [program, f"--config.file={tmp_path / 'prometheus.yml'}"]
        argv += [f"--storage.tsdb.path={tmp_path / 'tsdb'}", f"--web.listen-address=127.0.0.1:{port}"]

        def ask(query: str) -> Any:
            answer = httpx.get(
                f"http://127.0.0.1:{port}/api/v1/query", params={"query": query}, trust_env=False
            )
            assert answer.json()["status"] == "success", (query, answer.text)
            return answer.json()["data"]["result"]

        with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            try:
                (seen,) = until(lambda: ask('ml_drift_statistic{column="x",test="ks"}'), 60)
                assert (seen["metric"]["model"], float(seen["value"][1])) == ("m", 0.31)
                assert ask("up")[0]["value"][1] == "1"
                for query in rules.expressions(board):
                    ask(query)
                assert ask('sum(ml_alerts_firing{severity="ticket"})')[0]["value"][1] == "1"
            finally:
                server.terminate()
