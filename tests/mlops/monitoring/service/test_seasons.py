"""The same hour of the same weekday as reference: a day's rhythm is no drift, and a change within it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from blueprints.errors import UsageProblem
from mlops.monitoring.service.analysis import of_rows
from mlops.monitoring.service.reference import Reference, build_reference
from mlops.monitoring.service.seasons import names
from tests.mlops.monitoring.service.watched import monitor, send
from tests.mlops.serving.logs import environment

#: A Monday.
START = datetime(2026, 8, 31, tzinfo=UTC)
HOUR = timedelta(hours=1)


def demand(random: np.random.Generator, hours: np.ndarray[Any, Any], each: int, more: float = 0.0) -> Any:
    """``each`` rows of some hours: by day more than by night, on weekends less; and one column that knows
    nothing of the time."""
    at = np.repeat(hours, each)
    level = 10 + 5 * np.sin((at % 24 - 8) / 24 * 2 * np.pi) - 4 * ((at // 24) % 7 >= 5) + more
    return at, {"demand": level + random.normal(size=len(at)), "other": random.normal(size=len(at))}


def log_rows(features: dict[str, Any], at: Any) -> Any:
    lines = [
        f'{{"demand":{x},"other":{y}}}' for x, y in zip(features["demand"], features["other"], strict=True)
    ]
    times = pa.array([START + int(hour) * HOUR for hour in at], pa.timestamp("us", tz="UTC"))
    return pa.table(
        {
            "id": [str(number) for number in range(len(lines))],
            "time": times,
            "event_time": times,
            "features": lines,
            "score": np.zeros(len(lines)),
        }
    )


@pytest.fixture(scope="module")
def reference() -> Reference:
    at, features = demand(np.random.default_rng(5_300_000), np.arange(24 * 7 * 6), 200)
    times = [START + int(hour) * HOUR for hour in at]
    return build_reference(features, times=times)


def found(reference: Reference, hour: int, more: float = 0.0) -> set[str]:
    at, features = demand(np.random.default_rng(5_310_000 + hour), np.array([hour]), 1000, more)
    seen = of_rows(reference, log_rows(features, at), "1", (None, None), lambda _, block: block, 0.01)
    return {each.column for each in seen.findings if each.found and each.family == "drift"}


def test_an_hour_is_compared_with_the_same_hour(reference: Reference) -> None:
    kept = Reference.from_json(reference.to_json())
    assert kept.seasons is not None
    assert len(kept.seasons.profiles) == 168
    assert kept.seasons.profiles["Mon 09"].rows == 1200
    plain = build_reference(demand(np.random.default_rng(5_300_000), np.arange(24 * 7 * 6), 200)[1])
    later = range(24 * 7 * 8, 24 * 7 * 9, 5)
    assert sum("demand" in found(plain, hour) for hour in later) > 25, "without seasons nearly each alarms"
    assert sum(bool(found(kept, hour)) for hour in later) <= 1
    assert all(found(kept, hour, more=0.5) == {"demand"} for hour in later)


def test_a_window_of_several_hours_is_compared_with_all_of_them(reference: Reference) -> None:
    at, features = demand(np.random.default_rng(5_320_000), np.arange(24 * 7), 10)
    seen = of_rows(reference, log_rows(features, at), "1", (None, None), lambda _, block: block, 0.01)
    assert not [each for each in seen.findings if each.found and each.family == "drift"]
    assert not any("against" in each.sentence for each in seen.findings)
    at, features = demand(np.random.default_rng(5_330_000), np.array([24 * 7 * 8 + 9]), 1000, more=1.0)
    seen = of_rows(reference, log_rows(features, at), "1", (None, None), lambda _, block: block, 0.01)
    told = [each.sentence for each in seen.findings if each.found and each.column == "demand"]
    assert told
    assert all(each.endswith("(against Mon 09)") for each in told)


def test_seasons_are_those_of_the_people() -> None:
    moments = np.array(
        [int(datetime(2026, month, 1, 22, 30, tzinfo=UTC).timestamp() * 1e6) for month in (1, 7)], np.int64
    )
    assert names(moments, "weekday_hour", "UTC").tolist() == ["Thu 22", "Wed 22"]
    assert names(moments, "weekday_hour", "Europe/Berlin").tolist() == ["Thu 23", "Thu 00"]
    assert names(moments, "hour", "Asia/Kathmandu").tolist() == ["04", "04"]
    assert names(moments, "weekday", "Asia/Tokyo").tolist() == ["Fri", "Thu"]
    with pytest.raises(UsageProblem, match="no time zone"):
        names(moments, "hour", "Mars")
    with pytest.raises(UsageProblem, match="times of shape"):
        build_reference({"x": np.arange(10.0)}, times=[START])


def test_the_monitor_takes_such_a_reference(tmp_path: Any) -> None:
    """Rows that come now, of a reference made of this hour and of another."""
    random = np.random.default_rng(5_340_000)
    now = datetime.now(UTC)
    # The hour may be over before the rows come.
    times = [now] * 1000 + [now + timedelta(minutes=2)] * 1000 + [now + 12 * HOUR] * 2000
    values = random.normal(size=(4000, 2))
    values[2000:] += 5
    made = build_reference(
        {"x": values[:, 0], "y": values[:, 1]}, values.sum(axis=1), task="regression", times=times,
        season="hour",
    )  # fmt: skip
    watching = monitor(tmp_path, {"m": made.to_json()})
    for number in range(3):
        send(environment(tmp_path), tmp_path, "m", f"w{number}", 100)
    watching.look("m")
    assert len(watching._book.store.windows("m")) == 3
    assert watching._book.store.alerts() == []
