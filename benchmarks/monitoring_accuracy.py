"""How often does the monitor cry wolf, and does it see the wolf?

    .venv/bin/python -m benchmarks.monitoring_accuracy --quick
    .venv/bin/python -m benchmarks.monitoring_accuracy --json accuracy.json

Prints, for tables without any drift, the share of windows with an alarm and with one that persists in 2 of 3;
and, for tables with one thing changed, the share of windows in which the changed column is found. Beside it:
PSI over 0.2 and Wasserstein over 0.1 standard deviations (the usual fixed rules), and a detector that always
alarms.

The seeds and shapes here are not those of the tests, on which the rules were made: ``--tuning`` takes those
instead.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlops.monitoring import Baseline, Comparison, Persistence, Profile, Seasonal, compare

TUNING, HELD_OUT = 1_000, 2_611_000
Columns = dict[str, Any]
Rng = np.random.Generator
Maker = Callable[[Rng, int, int, int], Columns]


@dataclass(frozen=True)
class Quiet:
    """Windows without drift."""

    data: str
    columns: int
    reference: int
    rows: int
    windows: int
    any_alarm: float
    persistent: float
    psi_rule: float
    wasserstein_rule: float


@dataclass(frozen=True)
class Power:
    """Windows with one thing changed."""

    change: str
    reference: int
    rows: int
    windows: int
    found: float
    psi_rule: float
    wasserstein_rule: float


def iid(rng: Rng, columns: int, rows: int, start: int) -> Columns:
    """Shapes that the tests do not use: t, beta, Weibull, mixtures, rounded, geometric; 3 to 700 levels."""
    makers: list[Callable[[], Any]] = [
        lambda: rng.standard_t(3, rows) * 4 + 100,
        lambda: rng.beta(0.7, 2, rows),
        lambda: rng.weibull(0.8, rows) * 30,
        lambda: np.where(rng.random(rows) < 0.3, rng.normal(-4, 1, rows), rng.normal(3, 2, rows)),
        lambda: np.round(rng.normal(20, 6, rows)),
        lambda: rng.geometric(0.2, rows).astype(float),
        lambda: np.where(rng.random(rows) < 0.12, np.nan, rng.logistic(size=rows)),
        lambda: rng.choice(["a", "b", "c"], rows, p=[0.7, 0.2, 0.1]),
        lambda: np.char.add("k", (rng.pareto(1.0, rows) * 3).astype(int).clip(0, 150).astype(str)),
        lambda: np.char.add("u", rng.integers(0, 700, rows).astype(str)),
    ]
    return {f"x{index}": makers[index % len(makers)]() for index in range(columns)}


def autoregressive(rng: Rng, columns: int, rows: int, start: int) -> Columns:
    """AR(1) with 0.8 from row to row; every fifth column a category cut from such a series."""
    noise = rng.normal(size=(rows + 50, columns)) * 0.6
    series = np.zeros_like(noise)
    for row in range(1, rows + 50):
        series[row] = 0.8 * series[row - 1] + noise[row]
    return _cut(series[50:])


def seasonal(rng: Rng, columns: int, rows: int, start: int) -> Columns:
    """A day's level and a weekend's, and a day's own weather; ``start`` is the day."""
    phase = np.linspace(0, 2 * math.pi, rows)[:, None]
    weekend = 0.8 if start % 7 >= 5 else 0.0
    weather = rng.normal(0, 0.15, size=(1, columns))
    return _cut(np.sin(phase) + weekend + weather + rng.normal(size=(rows, columns)))


def _cut(series: Any) -> Columns:
    columns: Columns = {}
    for index in range(series.shape[1]):
        values = series[:, index]
        if index % 5 == 4:
            columns[f"x{index}"] = np.digitize(values, [-1, 0, 1]).astype(str)
        else:
            columns[f"x{index}"] = np.exp(values) if index % 2 else values
    return columns


def quiet(data: str, columns: int, reference: int, rows: int, runs: int, each: int, seed: int) -> Quiet:
    """``runs`` references with ``each`` windows in a row."""
    maker: Maker = {"iid": iid, "ar1": autoregressive, "seasonal": seasonal}[data]
    alarms = persisting = psi = wasserstein = 0
    for run in range(runs):
        rng = np.random.default_rng([seed, run, columns, rows, reference])
        judge = _judge(data, maker, rng, columns, reference, rows)
        history: list[Comparison] = []
        for window in range(each):
            comparison = judge(window)
            history.append(comparison)
            alarms += bool(comparison.found)
            persisting += bool(Persistence(2, 3).keys([each.findings for each in history]))
            psi += any(f.test == "psi" and f.effect > 0.2 for f in comparison.findings)
            wasserstein += any(f.test == "wasserstein" and f.effect > 0.1 for f in comparison.findings)
    count = runs * each
    return Quiet(
        data, columns, reference, rows, count, *(x / count for x in (alarms, persisting, psi, wasserstein))
    )


def _judge(
    data: str, maker: Maker, rng: Rng, columns: int, reference: int, rows: int
) -> Callable[[int], Comparison]:
    if data == "iid":
        known = Profile.of(maker(rng, columns, reference, 0))
        return lambda window: compare(known, Profile.of(maker(rng, columns, rows, window), like=known))
    days = 140 if data == "seasonal" else 30
    first = Profile.of(maker(rng, columns, rows, 0))
    blocks = [first] + [Profile.of(maker(rng, columns, rows, day), like=first) for day in range(1, days)]
    if data == "ar1":
        baseline = Baseline.of(blocks)
        whole = blocks[0]
        for block in blocks[1:]:
            whole = whole + block
        return lambda window: compare(
            whole, Profile.of(maker(rng, columns, rows, window), like=whole), baseline=baseline
        )
    import datetime

    begin = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
    moments = [begin + datetime.timedelta(days=day) for day in range(days)]
    reference_of = Seasonal.of(zip(moments, blocks, strict=True))

    def judge(window: int) -> Comparison:
        day = days + window
        known, usual = reference_of.at(begin + datetime.timedelta(days=day))
        return compare(known, Profile.of(maker(rng, columns, rows, day), like=known), baseline=usual)

    return judge


def _share(values: Any, share: float, value: Any) -> Any:
    changed = np.asarray(values).copy()
    changed[: round(share * len(changed))] = value
    return changed


CHANGES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "shift 0.1 sd": ("x3", lambda v: v + 0.1 * v.std()),
    "shift 0.25 sd": ("x3", lambda v: v + 0.25 * v.std()),
    "shift 0.25 sd, beta": ("x1", lambda v: v + 0.25 * v.std()),
    "scale 1.2": ("x3", lambda v: (v - v.mean()) * 1.2 + v.mean()),
    "scale 1.5": ("x3", lambda v: (v - v.mean()) * 1.5 + v.mean()),
    "scale 1.5, logistic": ("x6", lambda v: v * 1.5),
    "share +5 points": ("x9", lambda v: _share(v, 0.05, "u1")),
    "share +10 points": ("x9", lambda v: _share(v, 0.10, "u1")),
    "share +10 points, 3 levels": (
        "x7",
        lambda v: np.where((v == "a") & (np.arange(len(v)) % 7 == 0), "b", v),
    ),
    "missing +10 points": ("x0", lambda v: _share(v, 0.10, np.nan)),
    "missing +10 points, had 12": (
        "x6",
        lambda v: np.where(np.random.default_rng(1).random(len(v)) < 0.114, np.nan, v),
    ),
    "unit x1000": ("x2", lambda v: v * 1000),
    "unit x0.001": ("x0", lambda v: v * 0.001),
    "new category 3 %": ("x7", lambda v: np.where(np.arange(len(v)) % 33 == 0, "ZZ", v.astype("<U4"))),
}


def power(change: str, reference: int, rows: int, runs: int, seed: int) -> Power:
    """Twenty columns, one of them changed; a new reference every ten windows."""
    column, function = CHANGES[change]
    found = psi = wasserstein = 0
    known = Profile(0, {})
    for run in range(runs):
        rng = np.random.default_rng([seed, run, rows, reference])
        if run % 10 == 0:
            known = Profile.of(iid(rng, 20, reference, 0))
        table = iid(rng, 20, rows, 0)
        table[column] = function(table[column])
        findings = [f for f in compare(known, Profile.of(table, like=known)).findings if f.column == column]
        found += any(f.found for f in findings)
        psi += any(f.test == "psi" and f.effect > 0.2 for f in findings)
        wasserstein += any(f.test == "wasserstein" and f.effect > 0.1 for f in findings)
    return Power(change, reference, rows, runs, found / runs, psi / runs, wasserstein / runs)


def run(quick: bool = False, seed: int = HELD_OUT) -> dict[str, Any]:
    """Both grids; the caller prints them."""
    many = 1 if quick else 4
    grid = [
        ("iid", 20, 20_000, 500, 12 * many, 5),
        ("iid", 20, 1_000, 500, 12 * many, 5),
        ("iid", 20, 20_000, 1_000, 12 * many, 5),
        ("iid", 20, 100_000, 5_000, 3 * many, 5),
        ("iid", 20, 1_000, 50_000, 8 * many, 3),
        ("iid", 20, 20_000, 50_000, 6 * many, 3),
        ("iid", 100, 20_000, 1_000, 6 * many, 5),
        ("iid", 500, 20_000, 1_000, 2 * many, 5),
        ("ar1", 20, 30_000, 1_000, 5 * many, 10),
        ("seasonal", 20, 140_000, 1_000, 3 * many, 21),
    ]
    rows = []
    for cell in grid:
        rows.append(asdict(quiet(*cell, seed)))
        print(
            "  ".join(f"{key} {value:.4g}" if key != "data" else value for key, value in rows[-1].items()),
            flush=True,
        )
    changes = []
    for change in CHANGES:
        for reference in (20_000,) if quick else (1_000, 20_000):
            changes.append(asdict(power(change, reference, 1_000, 30 * many, seed)))
            print("  ".join(f"{k} {v}" for k, v in changes[-1].items()), flush=True)
    return {"seed": seed, "quiet": rows, "power": changes}


def main() -> None:
    """Run, print, and write what ``--json`` asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer windows")
    parser.add_argument("--tuning", action="store_true", help="the seeds the rules were made on")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    begun = time.process_time()
    result = run(arguments.quick, TUNING if arguments.tuning else HELD_OUT)
    print("always-alarm detector: any_alarm 1, power 1; never-alarm detector: 0 and 0")
    worst = max(row["any_alarm"] for row in result["quiet"])
    least = max(row["persistent"] for row in result["quiet"])
    print(f"any alarm at most {worst:.3f}, persistent {least:.3f}; {time.process_time() - begun:.0f} CPU s")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
