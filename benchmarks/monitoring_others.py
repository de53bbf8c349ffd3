"""The others on the same tables: Evidently, NannyML, whylogs, a SciPy loop and ours, each its own process.

A million rows of 50 columns (200,000 with ``--quick``) against a reference of 100,000; CPU seconds of the
comparison alone, imports and reading left out. Then windows of 1,000 rows of 20 columns without drift: how
many of them have an alarm at each tool's defaults. Environments are made in the user's cache when missing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PINNED = {
    "evidently": ("evidently==0.7.23", "pandas<3"),
    "nannyml": ("nannyml==0.13.1", "statsmodels"),
    "whylogs": ("whylogs==1.6.4", "pandas<3", "pyarrow", "setuptools<81"),
}
REFERENCE, ROWS, QUICK = 100_000, 1_000_000, 200_000
WINDOW, WINDOWS = 1000, 20

#: Compares ``now`` with ``was``; returns whether anything alarmed at the defaults.
_TOOLS = {
    "evidently": """
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset
def compared(was, now):
    kinds = DataDefinition(numerical_columns=numbers(was), categorical_columns=words(was))
    made = [Dataset.from_pandas(each, data_definition=kinds) for each in (now, was)]
    told = Report([DataDriftPreset()]).run(*made).dict()
    return any(m["value"].get("count", 0) > 0 for m in told["metrics"] if isinstance(m["value"], dict))
""",
    "nannyml": """
import nannyml
def compared(was, now):
    made = nannyml.UnivariateDriftCalculator(
        column_names=numbers(was) + words(was), treat_as_categorical=words(was),
        continuous_methods=["jensen_shannon"], categorical_methods=["jensen_shannon"],
        chunk_number=1 if len(now) <= 1000 else 10)
    told = made.fit(was.assign()).calculate(now).filter(period="analysis").to_df()
    return bool(told.loc[:, [c for c in told.columns if c[-1] == "alert"]].to_numpy().any())
""",
    "whylogs": """
import logging; logging.disable(logging.CRITICAL)
import whylogs
def compared(was, now):
    one, other = (whylogs.log(each).profile().view() for each in (was, now))
    assert one.get_columns() and other.get_columns()
    return False  # profiles only: its drift scores need its viz extra
""",
    "scipy": """
from scipy import stats
import pandas
def compared(was, now):
    found = False
    for name in numbers(was):
        p = stats.ks_2samp(was[name], now[name], method="asymp").pvalue
        stats.wasserstein_distance(was[name], now[name])
        found |= p < 0.05
    for name in words(was):
        counts = pandas.concat([was[name].value_counts(), now[name].value_counts()], axis=1).fillna(0)
        found |= stats.chi2_contingency(counts[counts.sum(axis=1) > 0].T.to_numpy()).pvalue < 0.05
    return bool(found)
""",
}
_SCRIPT = """
import json, sys, time, warnings
warnings.filterwarnings("ignore")
import pandas
folder = sys.argv[1]
def numbers(t): return [c for c in t.columns if c[0] == "n"]
def words(t): return [c for c in t.columns if c[0] == "c"]
{tool}
def read(name):
    table = pandas.read_parquet(f"{{folder}}/{{name}}.parquet")
    return table.astype({{c: str for c in words(table)}})
was, now = read("reference"), read("current")
begun = time.process_time()
compared(was, now)
took = time.process_time() - begun
was, quiet = read("quiet_reference"), read("quiet")
size = int(sys.argv[2])
alarms = [compared(was, quiet[at:at + size].reset_index(drop=True)) for at in range(0, len(quiet), size)]
print("\\n" + json.dumps({{"seconds": took, "alarms": sum(alarms) / len(alarms)}}))
"""


def run(folder: Path, quick: bool) -> dict[str, float]:
    """Figures by name."""
    import pyarrow.parquet as pq

    from benchmarks.monitoring_profile import table

    for name, made in {
        "reference": table(REFERENCE, seed=1),
        "current": table(QUICK if quick else ROWS, seed=2),
        "quiet_reference": table(10_000, seed=3, numbers=16, words=4),
        "quiet": table(WINDOW * WINDOWS, seed=4, numbers=16, words=4),
    }.items():
        pq.write_table(made, folder / f"{name}.parquet")
    figures = _ours(folder)
    own = figures["ours, profiles and all tests, CPU s"]
    for name in (*PINNED, "scipy"):
        told = _theirs(name, folder)
        figures[f"{name}, CPU s"] = told["seconds"]
        figures[f"{name}, times ours"] = told["seconds"] / own
        if name != "whylogs":
            figures[f"{name}, windows with an alarm"] = told["alarms"]
    return figures


def _ours(folder: Path) -> dict[str, float]:
    import pyarrow.parquet as pq

    from benchmarks.monitoring_profile import cpu
    from mlops.monitoring import Profile, compare

    def read(name: str) -> Any:
        table = pq.read_table(folder / f"{name}.parquet")
        words = {name for name in table.column_names if name[0] == "c"}
        for at, column in enumerate(table.column_names):
            if column in words:
                table = table.set_column(at, column, table[column].dictionary_encode())
        return table

    was, now = read("reference"), read("current")

    def compared() -> Any:
        reference = Profile.of(was)
        return compare(reference, Profile.of(now, like=reference))

    compared()
    kept = Profile.of(was)
    quiet, window = Profile.of(read("quiet_reference")), read("quiet")
    alarms = [
        any(each.found for each in compare(quiet, Profile.of(window.slice(at, WINDOW), like=quiet)).findings)
        for at in range(0, len(window), WINDOW)
    ]
    return {
        "ours, profiles and all tests, CPU s": cpu(compared, 3),
        "ours, the reference profiled before, CPU s": cpu(
            lambda: compare(kept, Profile.of(now, like=kept)), 3
        ),
        "ours, windows with an alarm": sum(alarms) / len(alarms),
    }  # fmt: skip


def _theirs(name: str, folder: Path) -> dict[str, float]:
    words = [str(_python(name)), "-c", _SCRIPT.format(tool=_TOOLS[name]), str(folder), str(WINDOW)]
    variables = {**os.environ, "DO_NOT_TRACK": "1", "NML_DISABLE_USAGE_LOGGING": "1"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=variables)
    if done.returncode:
        raise SystemExit(f"{name}: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    told: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return told


def _python(name: str) -> Path:
    if name not in PINNED:
        return Path(sys.executable)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    pin = PINNED[name]
    made = cache / "modelyard" / "benchmarks" / pin[0].replace("==", "-")
    python = made / "bin" / "python"
    if not python.exists():
        uv = str(Path(sys.executable).parent / "uv")
        subprocess.run([uv, "venv", "--quiet", "--python", "3.11", str(made)], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), *pin], check=True)
    return python
