"""Business figures: asked for by query or function, judged against their own past, alerted, never twice."""

from __future__ import annotations

import math
import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import deltalake
import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa

from blueprints.errors import UsageProblem
from blueprints.keys import validate
from blueprints.measures import KpiSpec
from mlops.data.tables import location
from mlops.monitoring.alerts import Alert, Alerts, AlertStore, Window
from mlops.monitoring.service import kpis as module
from mlops.monitoring.service.kpis import Kpis
from mlops.monitoring.service.series import of_kind, of_metric
from mlops.serving.log import PredictionLog
from tests.mlops.serving.logs import environment
from tests.mlops.yard import until

#: A Wednesday, 10:00.
NOW = datetime(2026, 9, 23, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Shop:
    """Sells more by day than by night; a module of its own, as a team's code is."""

    def __init__(self) -> None:
        self.factor: Callable[[datetime], float] = lambda moment: 1.0
        self.asked: list[datetime] = []
        self.hangs = 0.0
        self.fails = ""

    def revenue(self, start: datetime, end: datetime) -> float:
        assert end - start == HOUR
        self.asked.append(start)
        time.sleep(self.hangs)
        if self.fails:
            raise RuntimeError(self.fails)
        noise = np.random.default_rng(int(start.timestamp())).normal(0, 0.05)
        usual = 1000 * (1.2 + math.sin((start.hour - 8) / 24 * 2 * math.pi))
        return usual * (1 + noise) * self.factor(start)


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Shop:
    made, code = Shop(), ModuleType("the_shop")
    code.revenue = made.revenue  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "the_shop", code)
    return made


class Bench:
    """The figures of one environment, at the time that a test says."""

    def __init__(self, folder: Path, *specs: KpiSpec) -> None:
        self.now, self._folder, self._specs = NOW, folder, specs
        self.store = AlertStore(f"sqlite:///{folder / 'alerts.db'}")
        self.restart()

    def restart(self) -> None:
        book = Alerts(self.store, clock=lambda: self.now)
        self.kpis = Kpis(environment(self._folder), self._specs, book, lambda: self.now)

    def look(self, hours: int = 0) -> dict[str, str]:
        """Now, and after each of so many hours."""
        faults = self.kpis.look(time.monotonic() + 60)
        for _ in range(hours):
            self.now += HOUR
            faults = self.kpis.look(time.monotonic() + 60)
        return faults

    def firing(self) -> list[Alert]:
        return self.store.alerts("firing")


REVENUE = KpiSpec(name="revenue", function="the_shop:revenue", unit="USD", model="delay")


def test_a_drop_pages_once_it_lasts_and_ends_by_itself(tmp_path: Path, shop: Shop) -> None:
    bench = Bench(tmp_path, REVENUE)
    shop.factor = lambda moment: 0.5 if NOW <= moment < NOW + 6 * HOUR else 1.0
    bench.look()
    assert len(shop.asked) == 28 * 24 - 1, "the past is asked for at once; the newest hour may still change"
    assert bench.firing() == []
    bench.look(hours=2)
    assert bench.firing() == [], "one unusual hour is not enough"
    bench.look(hours=1)
    (alert,) = bench.firing()
    assert (alert.kind, alert.severity, alert.feature, alert.subject) == ("kpi", "page", "revenue", "delay")
    assert "revenue is " in alert.summary
    assert "USD in the hour from Wed 23 Sep 1" in alert.summary
    # The day as a whole is unusual for as long as the drop is in it.
    bench.look(hours=36)
    assert bench.firing() == []
    points = of_metric(bench.store, "delay", "kpi", "revenue", NOW - timedelta(days=40))
    starts = [each.start for each in points]
    assert starts == sorted(set(starts), key=str)
    assert len(points) == len(shop.asked)
    last = points[-1]
    assert last.expected is not None
    assert last.low is not None
    assert last.high is not None
    assert last.low < last.expected < last.high


def test_a_new_level_is_a_ticket_until_it_is_a_week_old(tmp_path: Path, shop: Shop) -> None:
    bench = Bench(tmp_path, KpiSpec(name="revenue", function="the_shop:revenue", timezone="Asia/Tokyo"))
    shop.factor = lambda moment: 0.88 if moment >= NOW else 1.0
    bench.look(hours=60)
    alert = next(each for each in bench.firing() if each.feature == "revenue level")
    assert alert.severity == "ticket"
    found = re.fullmatch(r"revenue is (\d+)% below its level before (.+)", alert.summary)
    assert found is not None
    assert 9 <= int(found[1]) <= 15
    when = datetime.strptime(f"2026 {found[2]}", "%Y %a %d %b %H:%M").replace(tzinfo=UTC)
    assert abs(when - 9 * HOUR - NOW) <= 4 * HOUR, "said in the time of the shop"
    bench.look(hours=24 * 7)
    assert bench.firing() == []


def test_what_the_spec_watches_no_more_ends(tmp_path: Path, shop: Shop) -> None:
    typo = KpiSpec(name="typo", function="the_shop:nothing")
    bench = Bench(tmp_path, REVENUE, typo)
    shop.factor = lambda moment: 0.4 if moment >= NOW else 1.0
    bench.look(hours=4)
    assert {each.feature for each in bench.firing()} == {"revenue", "typo unknown"}
    bench = Bench(tmp_path, REVENUE)
    bench.now = NOW + 4 * HOUR
    bench.look()
    assert {each.feature for each in bench.firing()} == {"revenue"}
    Bench(tmp_path).look()
    assert bench.firing() == []


def test_a_usual_month_pages_nobody(tmp_path: Path, shop: Shop) -> None:
    bench = Bench(tmp_path, REVENUE)
    bench.look(hours=24 * 7)
    assert bench.store.alerts() == []


def test_a_kill_in_the_middle_asks_nothing_twice_and_leaves_nothing_out(tmp_path: Path, shop: Shop) -> None:
    bench = Bench(tmp_path, REVENUE)
    for _ in range(5):
        bench.kpis.look(time.monotonic() + 0.2)
        bench.restart()
    bench.look(hours=3)
    points = of_metric(bench.store, "delay", "kpi", "revenue", NOW - timedelta(days=40))
    assert [each.start for each in points] == [
        NOW - timedelta(days=28) + n * HOUR for n in range(28 * 24 + 2)
    ]


def test_what_fails_or_hangs_is_said_at_once_and_goes_on_later(
    tmp_path: Path, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.3)
    other = KpiSpec(name="orders", function="the_shop:revenue")
    bench = Bench(tmp_path, REVENUE, other, KpiSpec(name="typo", function="the_shop:nothing"))
    bench.look()
    shop.fails = "the till is closed"
    faults = bench.look(hours=1)
    assert faults["kpi revenue"] == "RuntimeError: the till is closed"
    assert "the_shop:nothing cannot be imported" in faults["kpi typo"]
    assert {each.feature for each in bench.firing()} == {"revenue unknown", "orders unknown", "typo unknown"}
    assert {each.severity for each in bench.firing()} == {"ticket"}
    bench.look()
    shop.fails, shop.hangs = "", 1.0
    begun = time.monotonic()
    assert "takes longer" in bench.look()["kpi revenue"]
    assert time.monotonic() - begun < 5
    shop.hangs = 0.0
    until(lambda: set(bench.look()) == {"kpi typo"}, 20)
    assert {each.feature for each in bench.firing()} == {"typo unknown"}
    starts = [each.start for each in of_metric(bench.store, "", "kpi", "orders", NOW - timedelta(days=40))]
    assert len(starts) == len(set(starts)) == 28 * 24


def test_a_query_over_the_log(tmp_path: Path) -> None:
    """The outcomes that callers sent for their predictions."""
    log = PredictionLog(tmp_path / "log", environment(tmp_path))
    hours = [NOW - (number + 2) * HOUR for number in range(48)]
    for number, hour in enumerate(hours):
        moment = int((hour + 0.5 * HOUR).timestamp() * 1e6)
        log.label("delay", [f"{number}-a", f"{number}-b"], [10.0, number], [moment, moment], "sales")
    log.flush()
    query = "SELECT sum(value) FROM outcomes WHERE name = 'sales' AND time >= :start AND time < :end"
    specs = [
        KpiSpec(name="sales", query=query, model="delay", history_days=3),
        KpiSpec(name="none", query=query.replace("outcomes", "labels"), model="delay", history_days=3),
        KpiSpec(name="wrong", query="SELECT nothing FROM outcomes", model="delay", history_days=3),
        KpiSpec(name="stranger", query=query, model="dealy", history_days=3),
        KpiSpec(name="many", query="SELECT id FROM outcomes", model="delay", history_days=3),
    ]
    bench = Bench(tmp_path, *specs)
    faults = bench.look()
    found = {
        each.start: each.value for _, each in of_kind(bench.store, "kpi", 1000) if each.metric == "sales"
    }
    assert {start: value for start, value in found.items() if value} == {
        hour: 10.0 + number for number, hour in enumerate(hours)
    }
    assert found[NOW - timedelta(days=3)] is None
    assert "nothing" in faults["kpi wrong"]
    assert faults["kpi many"] == "expected one number, got 96 rows of 1 columns"
    assert faults["kpi stranger"] == "nothing was logged of a model dealy yet"
    assert "kpi none" not in faults, "nothing was labelled yet"


def test_how_many_predictions_each_model_makes(tmp_path: Path) -> None:
    """By itself, for every model that was looked at; a drop of the traffic is a ticket."""
    made, now = environment(tmp_path), datetime.now(UTC).replace(minute=30, second=0, microsecond=0)
    bench = Bench(tmp_path)
    bench.now = now
    bench.kpis = Kpis(made, (), Alerts(bench.store, clock=lambda: bench.now), lambda: bench.now, volume=True)
    assert bench.look() == {}
    assert of_kind(bench.store, "kpi", 10) == [], "no model yet"
    with bench.store.transaction() as connection:
        bench.store.add_window(connection, Window("emptied", "1", None, None, 100), [], now)
    assert bench.look() == {}, "a log that was taken away is no fault"
    random = np.random.default_rng(4_960_000)
    times, models = [], ("delay", "price")
    for hour in range(1, 24 * 5):
        number = int(random.poisson(40)) if hour > 3 else 4
        times += [
            now.replace(minute=0) - hour * HOUR + timedelta(minutes=60 * k / number) for k in range(number)
        ]
    table = pa.table(
        {"id": [str(k) for k in range(len(times))], "time": pa.array(times, pa.timestamp("us", "UTC"))}
    )
    for model in models:
        deltalake.write_deltalake(location(made, "predictions", model), table)
        with bench.store.transaction() as connection:
            bench.store.add_window(connection, Window(model, "1", None, None, 100), [], now)
    assert bench.look() == {}
    found = of_kind(bench.store, "kpi", 1000)
    assert {(model, each.metric) for model, each in found} == {(model, "predictions") for model in models}
    values = [each.value for model, each in found if model == "price"]
    assert values[-3:] == [4.0, 4.0, 4.0]
    assert len(values) == 24 * 5 - 1, "nothing is asked for before the first prediction"
    assert sum(each or 0 for each in values) == len(times)
    alerts = bench.firing()
    assert {(each.model, each.severity, each.kind) for each in alerts} == {
        (model, "ticket", "kpi") for model in models
    }
    assert "predictions is 4 an hour in the hour from" in alerts[0].summary


def test_a_query_over_another_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE orders (at DATETIME, paid FLOAT)"))
        connection.execute(
            sa.text("INSERT INTO orders VALUES (:at, :paid)"),
            [{"at": NOW - (n + 1.5) * HOUR, "paid": 5.0 + n} for n in range(48)],
        )
    (tmp_path / "address").write_text(url + "\n")
    query = "SELECT sum(paid) FROM orders WHERE at >= :start AND at < :end"
    address = f"file:{tmp_path / 'address'}"
    bench = Bench(tmp_path, KpiSpec(name="paid", query=query, database=address, history_days=2))
    assert bench.look() == {}
    values = [each.value for _, each in of_kind(bench.store, "kpi", 1000)]
    assert values[-1] == 5.0
    assert values[-10:] == [14.0 - n for n in range(10)]
    monkeypatch.setenv("SHOP", "postgresql://me:hunter22@127.0.0.1:1/shop")
    refused = Bench(tmp_path, KpiSpec(name="gone", query=query, database="env:SHOP"))
    words = refused.look()["kpi gone"]
    assert "127.0.0.1" in words
    assert "hunter22" not in words
    monkeypatch.setenv("SHOP", "hunter22 and more")
    assert refused.look()["kpi gone"] == "env:SHOP holds no SQLAlchemy URL"
    monkeypatch.delenv("SHOP")
    assert refused.look()["kpi gone"] == "env:SHOP is not set"


@pytest.mark.parametrize(
    ("kpi", "words"),
    [
        ({"name": "a"}, "give either query or function"),
        ({"name": "a", "function": "x:y", "query": "select 1"}, "give either query or function"),
        ({"name": "a", "query": "select 1"}, "a query needs the model, or the database"),
        ({"name": "a", "model": "m", "query": "delete from labels"}, "must begin with select or with"),
        ({"name": "a", "query": "select 1", "database": "postgresql://u:hunter22@h/d"}, "use env:NAME"),
        ({"name": "a", "function": "nonsense"}, "package.module:function"),
        ({"name": "a", "function": "x:y", "timezone": "Mars/Olympus"}, "no time zone"),
        ({"name": "A b", "function": "x:y"}, "A b"),
        ({"name": "predictions", "function": "x:y"}, "each model has by itself"),
    ],
)
def test_a_wrong_kpi_is_named(kpi: dict[str, str], words: str) -> None:
    with pytest.raises(UsageProblem) as raised:
        validate({"monitoring": {"kpis": [kpi]}})
    assert words in str(raised.value)
    assert "monitoring.kpis" in str(raised.value)
    assert "hunter22" not in str(raised.value)
