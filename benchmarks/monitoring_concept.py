"""How soon a changed concept is found, P(x) as before: our detectors and river's on the same error streams.

    python benchmarks/monitoring_concept.py [--quick] [--json] [--classic]

A tree is fitted on rows of the first concept and goes on answering when the concept changes (SEA, Street and
Kim 2001, abrupt and gradual; STAGGER, Schlimmer and Granger 1986). Labels come 500 rows late, for all of them
alike: delays are counted in labels. Each detector runs as it comes and, on equal terms, with its parameter
moved until it raises a false alarm in 5 % of streams of 5,000 rows without a change (on other seeds). Beside
them one that never alarms and one that always does. river runs in its own environment, made when missing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

RIVER = "0.23.0"
BEFORE, AFTER, LATE = 5000, 4000, 500
FALSE = 0.05
STREAMS = ("SEA 8 to 9.5", "SEA 8 to 7", "SEA gradual", "STAGGER 1 to 2")
TUNING, HELD_OUT = 3_500_000, 3_700_000


def stream(name: str, seed: int, change: bool = True) -> Any:
    """Errors of a tree fitted on the first concept: ``BEFORE`` rows of it, then ``AFTER`` of the second."""
    from sklearn.tree import DecisionTreeClassifier

    random = np.random.default_rng(seed)
    rows = 2000 + BEFORE + AFTER
    second = np.zeros(rows, bool)
    if change:
        second[2000 + BEFORE :] = True
    if name == "SEA gradual" and change:
        second[2000 + BEFORE :] = random.random(AFTER) < np.minimum(1, np.arange(AFTER) / 2000)
    if name.startswith("SEA"):
        x = random.uniform(0, 10, (rows, 3))
        limit = {"SEA 8 to 9.5": 9.5, "SEA 8 to 7": 7.0, "SEA gradual": 9.5}[name]
        y = x[:, 0] + x[:, 1] <= np.where(second, limit, 8.0)
        y = y ^ (random.random(rows) < 0.1)
    else:
        x = random.integers(0, 3, (rows, 3)).astype(float)
        small_red = (x[:, 0] == 0) & (x[:, 1] == 0)
        green_or_round = (x[:, 1] == 1) | (x[:, 2] == 0)
        y = np.where(second, green_or_round, small_red) ^ (random.random(rows) < 0.02)
    tree = DecisionTreeClassifier(max_depth=8, min_samples_leaf=20, random_state=0).fit(x[:2000], y[:2000])
    return (tree.predict(x[2000:]) != y[2000:]).astype(float)


def ours() -> dict[str, tuple[tuple[float, ...], float, Callable[[float], Callable[[Any], int]]]]:
    """By name: parameters to try, from the quietest, the default, and what finds the first alarm."""
    from mlops.monitoring.performance.concept import classic
    from mlops.monitoring.performance.concept.rise import RateRise

    def rise(run_length: float) -> Callable[[Any], int]:
        def first(errors: Any) -> int:
            found = RateRise(run_length).update(errors)
            return found.row if found else 0

        return first

    def one_by_one(made: Callable[[float], Any]) -> Callable[[float], Callable[[Any], int]]:
        def of(parameter: float) -> Callable[[Any], int]:
            return lambda errors: _first(made(parameter), errors)

        return of

    return {
        "ours: rise": ((4e5, 2e5, 14e4, 1e5, 7e4, 5e4, 35e3, 25e3), 200_000.0, rise),
        "ours: ADWIN": (_SMALL, 0.002, one_by_one(lambda p: classic.ADWIN(delta=p))),
        "ours: Page-Hinkley": (_SUMS, 50.0, one_by_one(lambda p: classic.PageHinkley(threshold=p))),
        "ours: DDM": (_DEVIATIONS, 3.0, one_by_one(classic.DDM)),
        "ours: HDDM_A": (_SMALL, 0.001, one_by_one(classic.HDDMA)),
        "ours: HDDM_W": (_SMALL, 0.001, one_by_one(classic.HDDMW)),
        "ours: KSWIN": (_SMALL, 0.005, one_by_one(lambda p: classic.KSWIN(alpha=p))),
        "never alarms": ((1.0,), 1.0, lambda _: lambda errors: 0),
        "always alarms": ((1.0,), 1.0, lambda _: lambda errors: 1),
    }


CLASSIC = tuple(f"ours: {name}" for name in ("ADWIN", "Page-Hinkley", "DDM", "HDDM_A", "HDDM_W", "KSWIN"))
_SMALL = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
_SUMS = (200.0, 100.0, 50.0, 35.0, 25.0, 18.0, 12.0)
_DEVIATIONS = (6.0, 5.0, 4.5, 4.0, 3.5, 3.0, 2.5)


def rivers() -> dict[str, tuple[tuple[float, ...], float, Callable[[float], Callable[[Any], int]]]]:
    """The same of river, in its own environment."""
    from river import drift  # type: ignore[import-not-found]

    def one_by_one(made: Callable[[float], Any]) -> Callable[[float], Callable[[Any], int]]:
        def of(parameter: float) -> Callable[[Any], int]:
            def first(errors: Any) -> int:
                detector = made(parameter)
                for at, error in enumerate(errors.tolist(), start=1):
                    detector.update(error)
                    if detector.drift_detected:
                        return at
                return 0

            return first

        return of

    return {
        "river ADWIN": (_SMALL, 0.002, one_by_one(lambda p: drift.ADWIN(delta=p))),
        "river Page-Hinkley": (
            _SUMS, 50.0, one_by_one(lambda p: drift.PageHinkley(threshold=p, mode="up")),
        ),
        "river DDM": (_DEVIATIONS, 3.0, one_by_one(lambda p: drift.binary.DDM(drift_threshold=p))),
        "river HDDM_A": (_SMALL, 0.001, one_by_one(lambda p: drift.binary.HDDM_A(drift_confidence=p))),
        "river HDDM_W": (_SMALL, 0.001, one_by_one(lambda p: drift.binary.HDDM_W(drift_confidence=p))),
        "river KSWIN": (_SMALL, 0.005, one_by_one(lambda p: drift.KSWIN(alpha=p, seed=0))),
    }  # fmt: skip


def _first(detector: Any, errors: Any) -> int:
    for at, error in enumerate(errors.tolist(), start=1):
        if detector.update(error):
            return at
    return 0


def measure(made: dict[str, Any], data: dict[str, Any]) -> list[dict[str, Any]]:
    """A line for each detector, as it comes and at the false alarms of all."""
    lines = []
    for name, (grid, default, of) in made.items():
        quiet = default
        for parameter in grid:
            # From the quietest on, as long as it is quiet enough.
            alarmed = np.mean([of(parameter)(row[:BEFORE]) > 0 for row in data["tuning"]])
            if alarmed > FALSE:
                break
            quiet = parameter
        for how, parameter in (("as it comes", default), ("equal terms", quiet)):
            firsts = {key: [of(parameter)(row) for row in data[key]] for key in STREAMS}
            early = [0 < at <= BEFORE for each in firsts.values() for at in each]
            line: dict[str, Any] = {
                "detector": name, "how": how, "parameter": parameter, "false": float(np.mean(early)),
            }  # fmt: skip
            for key, each in firsts.items():
                delays = [at - BEFORE if at else AFTER for at in each if not 0 < at <= BEFORE]
                line[key] = float(np.median(delays)) if delays else None
                line[f"{key} missed"] = float(np.mean([at == 0 for at in each]))
            lines.append(line)
    return lines


def _data(folder: Path, quick: bool) -> Path:
    tuning, held_out = (40, 20) if quick else (80, 60)
    kept = {
        key: np.asarray([stream(key, HELD_OUT + 1000 * place + seed) for seed in range(held_out)])
        for place, key in enumerate(STREAMS)
    }
    # The false alarms of all kinds of streams count, not of the easiest.
    kept["tuning"] = np.asarray(
        [stream(key, TUNING + 1000 * place + seed, change=False) for place, key in enumerate(STREAMS)
         for seed in range(tuning // 4)]
    )  # fmt: skip
    file = folder / "streams.npz"
    np.savez_compressed(file, **kept)  # type: ignore[arg-type]
    return file


def river_python() -> Path:
    """river's own environment in the user's cache."""
    import os

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    made = cache / "modelyard" / "benchmarks" / f"river-{RIVER}"
    python = made / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(made)], check=True)
        # river needs the second and does not say so.
        words = [str(python), "-m", "pip", "install", "-q", f"river=={RIVER}", "typing_extensions"]
        subprocess.run(words, check=True)
    return python


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--classic", action="store_true", help="ours of the literature too, equal to river's")
    parser.add_argument("--river", metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.river:
        print(json.dumps(measure(rivers(), dict(np.load(options.river)))))
        return
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    with tempfile.TemporaryDirectory() as folder:
        file = _data(Path(folder), options.quick)
        words = [str(river_python()), __file__, "--river", str(file)]
        theirs = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
        mine = {name: each for name, each in ours().items() if options.classic or name not in CLASSIC}
        lines = [*measure(mine, dict(np.load(file))), *theirs]
    if options.json:
        print(json.dumps(lines, indent=2))
        return
    print(f"{'detector':<20}{'':<13}{'false':>7}" + "".join(f"{key:>22}" for key in STREAMS))
    for line in lines:
        cells = "".join(
            f"{'–' if line[key] is None else f'{line[key]:.0f}':>10} ({line[f'{key} missed']:>4.0%} mis)"
            for key in STREAMS
        )
        print(f"{line['detector']:<20}{line['how']:<13}{line['false']:>7.1%}{cells}")
    print(f"\nmedian labels after the change; each label comes {LATE} rows after its prediction")


if __name__ == "__main__":
    main()
