"""Change points of real series beside those that people marked: ours, river's detectors and none at all.

    python benchmarks/monitoring_changes.py [--quick] [--json]

Seven series of the Turing change point data set, each marked by five people or fewer, as river ships them. F1
counts a change as found when it is at most 5 values off, precision against what any annotator marked, recall
averaged over the annotators, the start of the series always a change; covering is how well the segments
overlap (van den Burg and Williams, "An evaluation of change point detection algorithms", 2020,
arXiv:2003.06222). ``zero`` finds nothing: who is below it does harm.

Constants of ours were chosen on simulated series. A first run here was no better than ``zero`` (F1 0.48): in
correlated noise no short segment could be found, however far away. That was shown, changed and chosen on
simulated series too, but these series are what made us look.

river ships three of the series as they were before they were thinned, the marks count the values after:
Apple is every third row from the second on, Brent every tenth, from 2000 on, Bitcoin ends on 19 June 2019 (as
the scripts of the data set do). A series of several columns has the changes of all its columns; of those that
are at most 5 apart the first counts. river's detectors run as they come, on standardised values; they know
at each value only those before it and ours knows all, so that theirs come late. ADWIN says also where its
window begins after a change: it is scored there as well. river has its own environment, made when missing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

MARGIN = 5
#: What is marked, by the name of river: the columns that the annotators saw and how many values.
SERIES: dict[str, tuple[tuple[str, ...], int]] = {
    "AirlinePassengers": ((), 468),
    "Apple": (("Close", "Volume"), 622),
    "Bitcoin": ((), 774),
    "BrentSpotPrice": ((), 500),
    "Occupancy": (("V1", "V2", "V3", "V4"), 509),
    "RunLog": (("Pace", "Distance"), 376),
    "UKCoalEmploy": ((), 105),
}


def _series(name: str) -> dict[str, Any]:
    """``columns``, each a list of values, and ``marks`` by annotator."""
    from river.drift import datasets  # type: ignore[import-not-found]

    data = getattr(datasets, name)()
    rows = list(data)
    if name == "Apple":
        rows = rows[1::3]
    elif name == "BrentSpotPrice":
        rows = [row for row in rows[::10] if row[0]["day"].year >= 2000]
    elif name == "Bitcoin":
        rows = [row for row in rows if row[0]["date"].date().isoformat() <= "2019-06-19"]
    keys, count = SERIES[name]
    if len(rows) != count:
        raise SystemExit(f"{name}: {len(rows)} values instead of {count}, its marks would be elsewhere")
    columns = [[float(row[1][key]) for row in rows] for key in keys] or [[float(row[1]) for row in rows]]
    return {"columns": columns, "marks": data.annotations}


def rivers(names: Iterable[str]) -> dict[str, Any]:
    """In river's environment: the series, and for each detector the changes of each of their columns."""
    from river import drift  # type: ignore[import-not-found]

    made: dict[str, Callable[[], Any]] = {
        "river ADWIN": drift.ADWIN,
        "river ADWIN, window": drift.ADWIN,
        "river Page-Hinkley": drift.PageHinkley,
        "river KSWIN": lambda: drift.KSWIN(seed=0),
    }
    series = {name: _series(name) for name in names}
    found: dict[str, dict[str, list[list[int]]]] = {}
    for detector, new in made.items():
        where = found.setdefault(detector, {})
        for name, each in series.items():
            where[name] = [_alarms(new(), column, "window" in detector) for column in each["columns"]]
    return {"series": series, "found": found}


def _alarms(detector: Any, column: Sequence[float], window: bool) -> list[int]:
    values = np.asarray(column)
    found = []
    for at, value in enumerate(((values - values.mean()) / values.std()).tolist()):
        detector.update(value)
        if detector.drift_detected:
            found.append(at + 1 - int(detector.width) if window else at)
    return found


def ours(series: dict[str, Any]) -> dict[str, list[list[int]]]:
    """The changes of each column by name of the series."""
    from mlops.monitoring.timeseries.change import changes

    return {
        name: [[change.at for change in changes(np.asarray(column))] for column in each["columns"]]
        for name, each in series.items()
    }


def together(columns: Iterable[Iterable[int]]) -> list[int]:
    """Changes of all columns, of those near each other the first."""
    kept: list[int] = []
    for at in sorted({at for column in columns for at in column if at > 0}):
        if not kept or at - kept[-1] > MARGIN:
            kept.append(at)
    return kept


def hits(marks: Iterable[int], found: Iterable[int]) -> int:
    """How many marks have a change near; each change counts for one mark, the nearest that is free."""
    free, count = set(found), 0
    for mark in sorted(marks):
        near = min(free, key=lambda at: (abs(at - mark), at), default=None)
        if near is not None and abs(near - mark) <= MARGIN:
            free.remove(near)
            count += 1
    return count


def f1(marks: Sequence[Sequence[int]], found: Sequence[int]) -> float:
    """Of precision over all marks and recall averaged over annotators; 0 is marked and found always."""
    each, have = [{0, *one} for one in marks], {0, *found}
    precision = hits(set().union(*each), have) / len(have)
    recall = float(np.mean([hits(one, have) / len(one) for one in each]))
    return 2 * precision * recall / (precision + recall)


def covering(marks: Sequence[Sequence[int]], found: Sequence[int], count: int) -> float:
    """Share of the values whose marked segment has a found one like it, by the Jaccard index of the best."""

    def segments(ats: Sequence[int]) -> list[tuple[int, int]]:
        edges = [*sorted({0, *ats}), count]
        return list(pairwise(edges))

    def like(one: tuple[int, int], other: tuple[int, int]) -> float:
        both = max(0, min(one[1], other[1]) - max(one[0], other[0]))
        return both / (one[1] - one[0] + other[1] - other[0] - both)

    have = segments(found)
    covered = [
        sum((one[1] - one[0]) * max(like(one, other) for other in have) for one in segments(each)) / count
        for each in marks
    ]
    return float(np.mean(covered))


def measure(series: dict[str, Any], found: dict[str, dict[str, list[list[int]]]]) -> list[dict[str, Any]]:
    """A line for each detector."""
    lines = []
    for detector, where in found.items():
        line: dict[str, Any] = {"detector": detector}
        for name, each in series.items():
            marks, ats = list(each["marks"].values()), together(where[name])
            line[name] = {
                "f1": f1(marks, ats), "covering": covering(marks, ats, len(each["columns"][0])), "found": ats,
            }  # fmt: skip
        for score in ("f1", "covering"):
            line[score] = float(np.mean([line[name][score] for name in series]))
        lines.append(line)
    return lines


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the two shortest series only")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--river", nargs="+", metavar="NAME", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.river:
        print(json.dumps(rivers(options.river)))
        return
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from benchmarks.monitoring_concept import river_python

    names = ["RunLog", "UKCoalEmploy"] if options.quick else list(SERIES)
    words = [str(river_python()), __file__, "--river", *names]
    theirs = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    series = theirs["series"]
    nothing: dict[str, list[list[int]]] = {name: [[]] for name in series}
    lines = measure(series, {"ours": ours(series), **theirs["found"], "zero": nothing})
    if options.json:
        print(json.dumps(lines, indent=2))
        return
    print(f"{'F1 / covering':<21}{'mean':>11}" + "".join(f"{name[:13]:>16}" for name in series))
    for line in lines:
        cells = "".join(
            f"{line[name]['f1']:>7.2f}/{line[name]['covering']:.2f}{len(line[name]['found']):>4}"
            for name in series
        )
        print(f"{line['detector']:<21}{line['f1']:>6.2f}/{line['covering']:.2f}{cells}")
    print("\nthird number: changes found; higher is better, 1 is all that every annotator marked and no more")
    best = max(lines[1:], key=lambda line: float(line["f1"]))
    ratio = lines[0]["f1"] / best["f1"], lines[0]["covering"] / max(line["covering"] for line in lines[1:])
    print(f"ours over the best other: F1 {ratio[0]:.2f} ({best['detector']}), covering {ratio[1]:.2f}")


if __name__ == "__main__":
    main()
