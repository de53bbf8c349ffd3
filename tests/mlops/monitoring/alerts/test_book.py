"""From findings to states and notices."""

from __future__ import annotations

from pathlib import Path

import pytest

from blueprints.alerting import RouteSpec, RuleSpec, SourceSpec
from blueprints.errors import UsageProblem
from mlops.monitoring import infrastructure, rollouts
from mlops.monitoring.alerts import Alerts, AlertStore, Window
from mlops.monitoring.alerts.book import finding_rows
from mlops.monitoring.infrastructure import Reported
from mlops.monitoring.rollouts import RolloutReport
from tests.mlops.monitoring.alerts.made import Bench, finding


def test_two_bad_windows_of_three_fire_and_are_told_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.window(finding("x"))
    assert (bench.states(), bench.said()) == ({"x": "pending"}, [])
    bench.window(finding("x", found=False))
    bench.window(finding("x"))
    assert (bench.states(), bench.said()) == ({"x": "firing"}, [("firing", ("x",))])
    bench.window(finding("x"))
    assert bench.said() == []


def test_one_bad_window_is_forgotten(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for found in (True, False, False, False):
        bench.window(finding("x", found=found))
    assert (bench.states(), bench.said()) == ({}, [])


def test_it_ends_after_good_windows_in_a_row_and_that_is_told_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for found in (True, True, False, False, True, False, False, False, False):
        bench.window(finding("x", found=found))
    assert bench.states() == {"x": "resolved"}
    assert [status for status, _ in bench.said()] == ["firing", "resolved"]
    (alert,) = bench.store.alerts()
    assert [c["state"] for c in bench.store.history(alert.id)] == ["pending", "firing", "resolved"]


def test_it_keeps_firing_for_a_while(tmp_path: Path) -> None:
    bench = Bench(tmp_path, keep_firing_minutes=10)
    for found in (True, True, *[False] * 8):
        bench.window(finding("x", found=found))
    assert bench.states() == {"x": "firing"}
    for _ in range(3):
        bench.window(finding("x", found=False))
    assert bench.states() == {"x": "resolved"}


def test_every_finding_is_kept_whether_or_not_anybody_hears(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.window(finding("x"), finding("y", found=False, segment="region=EU"))
    assert [(f["column"], f["found"], f["segment"]) for f in finding_rows(bench.store, "m")] == [
        ("x", True, ""),
        ("y", False, "region=EU"),
    ]


def test_findings_window_places_and_more_are_one_transaction(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.window(finding("x"))

    def fails(connection: object) -> None:
        raise RuntimeError("block")

    with pytest.raises(RuntimeError, match="block"):
        bench.alerts.record([finding("x")], Window("m", "1", None, None, 1000), {"log:m": "9"}, fails)
    again = AlertStore(bench.url)
    assert (again.place("log:m"), len(again.windows("m")), bench.states()) == ("", 1, {"x": "pending"})
    bench.alerts.record([finding("x")], Window("m", "1", None, None, 1000), {"log:m": "9"})
    assert (again.place("log:m"), len(again.windows("m")), bench.states()) == ("9", 2, {"x": "firing"})


def test_what_is_no_number_is_kept_all_the_same(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for _ in range(2):
        bench.window(finding("x", effect=float("inf")), finding("y", statistic=float("nan"), found=False))
    assert bench.states() == {"x": "firing"}
    (notice,) = bench.sent()
    assert notice.entries[0].value > 1e300


def test_columns_of_one_model_are_one_notice_and_other_models_another(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for _ in range(2):
        bench.window(finding("x"), finding("y"))
        bench.window(finding("z"), model="other")
    first, second = bench.sent()
    assert (first.title, first.model) == ("prod: m v1: drift firing: x, y", "m")
    assert [e.feature for e in second.entries] == ["z"]


def test_each_route_hears_its_levels(tmp_path: Path) -> None:
    routes = (
        RouteSpec(name="pager", kind="desktop", levels=("page",)),
        RouteSpec(name="queue", kind="desktop", levels=("ticket",)),
    )
    bench = Bench(tmp_path, routes=routes)
    for _ in range(2):
        bench.window(finding("x"), finding("rows", "quality", severity="page"), model="m")
        bench.window(finding("y"), model="n")
    heard = {(n.route, e.feature) for n in bench.sent() for e in n.entries}
    assert heard == {("pager", "rows"), ("queue", "x"), ("queue", "y")}


def test_a_firing_page_is_sent_again_after_its_interval_until_acknowledged(tmp_path: Path) -> None:
    bench = Bench(tmp_path, repeat_hours=4)
    for _ in range(2):
        bench.window(finding("auc", "performance", severity="page"))
    assert bench.said() == [("firing", ("auc",))]
    bench.later(hours=3.9)
    bench.alerts.tick()
    assert bench.said() == []
    bench.later(hours=0.2)
    bench.alerts.tick()
    assert bench.said() == [("again", ("auc",))]
    (alert,) = bench.store.alerts()
    bench.alerts.acknowledge(alert.id, "ann", "on it", useful=True)
    assert bench.said() == [("acknowledged", ("auc",))]
    bench.later(hours=10)
    bench.alerts.tick()
    assert bench.said() == []
    seen = bench.store.alert(alert.id)
    assert seen is not None
    assert (seen.state, seen.useful, seen.acknowledged_by) == ("acknowledged", True, "ann")


def test_a_digest_waits_for_its_time_and_holds_everything(tmp_path: Path) -> None:
    from blueprints.alerting import RuleSpec

    bench = Bench(tmp_path, rules=(RuleSpec(notify="digest"),))
    bench.window()
    for column in ("x", "y"):
        for _ in range(2):
            bench.window(finding(column))
    assert bench.states() == {"x": "firing", "y": "firing"}
    assert bench.said() == []
    bench.later(hours=24)
    bench.alerts.tick()
    assert bench.said() == [("firing", ("x", "y"))]


def test_a_silence_holds_notices_back_and_its_end_lets_them_go(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.alerts.silence({"model": "m", "feature": "x*"}, 1, "ann", "planned")
    for _ in range(2):
        bench.window(finding("x1"), finding("y"))
    assert bench.states() == {"x1": "silenced", "y": "firing"}
    assert bench.said() == [("firing", ("y",))]
    bench.later(hours=1)
    bench.alerts.tick()
    assert bench.said() == [("firing", ("x1",))]


def test_unsilence_and_what_is_no_matcher(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    number = bench.alerts.silence({"kind": "drift"}, 1, "ann", "")
    for _ in range(2):
        bench.window(finding("x"))
    assert bench.said() == []
    assert bench.alerts.unsilence(number)
    assert bench.said() == [("firing", ("x",))]
    assert not bench.alerts.unsilence(number)
    for wrong in ({}, {"colour": "red"}, {"model": ""}, None):
        with pytest.raises(UsageProblem, match="matcher"):
            bench.alerts.silence(wrong, 1, "ann", "")  # type: ignore[arg-type]


def test_a_deployment_silences_drift_for_a_while_but_not_a_worse_model(tmp_path: Path) -> None:
    bench = Bench(tmp_path, deployment_silence_minutes=60)
    report = RolloutReport("m", "2", False, "ticket", "promoted", "m v2 is champion")
    bench.alerts.observe(rollouts.observations(report, bench.store.alerts()))
    for _ in range(2):
        bench.window(finding("x"), version="2")
        bench.window(finding("auc", "performance", severity="page"), version="1")
    assert bench.states() == {"x": "silenced", "auc": "firing"}
    bench.later(minutes=60)
    bench.alerts.tick()
    assert bench.states()["x"] == "firing"


def test_a_failed_rollout_is_told_at_once_and_opens_no_silence(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    report = RolloutReport("m", "2", True, "page", "errors", "m v2 was rolled back")
    bench.alerts.observe(rollouts.observations(report, bench.store.alerts()))
    assert bench.said() == [("firing", ("errors",))]
    assert bench.alerts.silences.all() == []


def test_a_worse_model_takes_drift_as_evidence(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for _ in range(2):
        bench.window(finding("x"), finding("auc", "performance", severity="page"))
    (notice,) = bench.sent()
    assert ([e.feature for e in notice.entries], notice.evidence) == (["auc"], ("x moved",))
    for _ in range(3):
        bench.window(finding("x"), finding("auc", "performance", found=False))
    assert bench.said() == [("firing", ("x", "auc"))]
    assert bench.states() == {"x": "firing", "auc": "resolved"}


def test_data_quality_covers_drift_of_its_column_and_a_broken_pipeline_covers_both(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for _ in range(2):
        bench.window(finding("x"), finding("x", "quality", test="range", severity="page"), finding("y"))
    assert {(e.kind, e.feature) for n in bench.sent() for e in n.entries} == {
        ("quality", "x"),
        ("drift", "y"),
    }
    bench.alerts.fault("n", "the reference is gone")
    for _ in range(2):
        bench.window(finding("z"), model="n")
    assert [columns for _, columns in bench.said()] == [("analysis",)]
    bench.alerts.fault("n", "")
    assert {columns for _, columns in bench.said()} == {("z",), ("analysis",)}


def test_a_source_that_is_down_covers_the_models_on_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, sources=(SourceSpec(name="orders", models=("m*",)),))
    bench.alerts.source("orders", "orders does not answer")
    assert [columns for _, columns in bench.said()] == [("orders",)]
    for _ in range(2):
        bench.window(finding("x"), model="m1")
        bench.window(finding("x"), model="n")
    assert [notice.model for notice in bench.sent()] == ["n"]


def test_a_source_that_the_spec_does_not_have_covers_nobody(tmp_path: Path) -> None:
    bench = Bench(tmp_path, sources=(SourceSpec(name="orders", models=("m*",)),))
    with pytest.raises(UsageProblem, match="no source order"):
        bench.alerts.source("order", "gone")
    assert bench.states() == {}


def test_rules_that_name_a_report_decide_how_it_is_heard(tmp_path: Path) -> None:
    """A page becomes a ticket, or nothing; one without a rule stays what its sender said."""
    rules = (
        RuleSpec(families=("rollout",), models="m1", notify="ticket"),
        RuleSpec(families=("infrastructure",), columns="tmp-*", notify="none"),
        RuleSpec(families=("no_data",), notify="page"),
        RuleSpec(notify="digest"),
    )
    bench = Bench(tmp_path, rules=rules, no_data_hours=6)
    for model in ("m1", "m2"):
        report = RolloutReport(model, "2", True, "page", "errors", f"{model} went back")
        bench.alerts.observe(rollouts.observations(report, ()))
    drifts = (Reported("tmp-1", "ticket", "tmp-1 differs"), Reported("bucket", "ticket", "bucket differs"))
    bench.alerts.observe(infrastructure.observations(drifts, ()))
    bench.window()
    bench.later(hours=7)
    bench.alerts.tick()
    levels = {(each.kind, each.model, each.feature): each.severity for each in bench.store.alerts("firing")}
    assert levels == {
        ("rollout", "m1", "errors"): "ticket",
        ("rollout", "m2", "errors"): "page",
        ("infrastructure", "", "bucket"): "ticket",
        ("no_data", "m", "predictions"): "page",
    }


def test_no_data_is_a_state_of_its_own_and_ends_with_data(tmp_path: Path) -> None:
    bench = Bench(tmp_path, no_data_hours=6)
    for _ in range(3):
        bench.window()
    bench.later(hours=5.9)
    bench.alerts.tick()
    assert bench.states() == {}
    bench.later(hours=0.2)
    bench.alerts.tick()
    bench.alerts.tick()
    assert bench.said() == [("firing", ("predictions",))]
    bench.window()
    assert (bench.states(), bench.said()) == ({"predictions": "resolved"}, [("resolved", ("predictions",))])
    # What came once in six hours is not late after six.
    bench.later(hours=15)
    bench.alerts.tick()
    assert bench.states() == {"predictions": "resolved"}


def test_what_fired_about_a_version_that_is_gone_is_over(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for _ in range(2):
        bench.window(finding("x"))
    for _ in range(10):
        bench.window(version="2")
    assert bench.states() == {"x": "resolved"}


def test_a_fast_burn_pages_at_once_and_ends_soon(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for _ in range(60):
        bench.window(good={"error": (999, 1000)})
    assert bench.states() == {}
    for _ in range(55):
        bench.window(good={"error": (800, 1000)})
    (alert,) = bench.store.alerts()
    assert (alert.severity, alert.feature, alert.statistic, alert.state) == (
        "page",
        "error",
        "burn",
        "firing",
    )
    for _ in range(35):
        bench.window(good={"error": (1000, 1000)})
    # The short windows of the fast paces are clean again; the slow one still burns.
    assert [a.severity for a in bench.store.alerts("firing")] == ["ticket"]


def test_a_slow_route_gets_notices_in_order(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for found in (True, True, False, False, False):
        bench.window(finding("x", found=found))
    (due,) = bench.outbox.due(bench.now)
    assert due.notice.status == "firing"
    bench.outbox.failed(due, "answer 503", bench.now)
    assert bench.outbox.due(bench.now) == []
    assert [(b.waiting, b.error) for b in bench.outbox.backlog()] == [(2, "answer 503")]
    bench.later(seconds=5)
    assert [status for status, _ in bench.said()] == ["firing", "resolved"]


def test_a_restart_says_nothing_twice(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for _ in range(2):
        bench.window(finding("x"))
    assert len(bench.sent()) == 1
    again = Alerts(AlertStore(bench.url), bench.alerts.spec, "prod", lambda: bench.now)
    again.tick()
    assert bench.sent() == []


def test_what_is_old_is_deleted(tmp_path: Path) -> None:
    bench = Bench(tmp_path, retention_days=1, no_data_hours=8760)
    bench.window(finding("x"))
    bench.later(days=2)
    bench.alerts.tick()
    assert (finding_rows(bench.store, "m"), bench.store.windows("m")) == ([], [])


def test_windows_are_of_predictions_not_of_labels_that_came_late(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for kind in ("rows", "labels"):
        bench.alerts.record([], Window("m", "1", bench.now, bench.now, 200, kind=kind), {})
    assert [each["kind"] for each in bench.store.windows("m")] == ["rows"]
