"""Monitoring: what it costs to profile a table, and to keep a window up to date.

    python benchmarks/monitoring.py [--quick] [--json] [--only SECTION]

A section is a function in ``SECTIONS`` that takes a folder and whether to be quick, and returns figures by
name; the parts are in ``benchmarks/monitoring_*.py``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path


def profile(folder: Path, quick: bool) -> dict[str, float]:
    """Profiles: speed, and memory over the data."""
    from benchmarks import monitoring_profile as part

    rows = (1_000_000, 4_000_000) if quick else (1_000_000, 20_000_000)
    return part.speed(folder, 3 if quick else 7) | part.memory(folder, rows)


def others(folder: Path, quick: bool) -> dict[str, float]:
    """Evidently, NannyML, whylogs and SciPy on the same tables."""
    from benchmarks import monitoring_others as part

    return part.run(folder, quick)


SECTIONS: dict[str, Callable[[Path, bool], dict[str, float]]] = {"profile": profile, "others": others}


def main() -> None:
    """Run the sections and print their figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds and rows, under 10 minutes")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", metavar="SECTION", action="append", choices=list(SECTIONS))
    options = parser.parse_args()
    results = {}
    for name in options.only or SECTIONS:
        with tempfile.TemporaryDirectory() as folder:
            results[name] = SECTIONS[name](Path(folder), options.quick)
    if options.json:
        print(json.dumps(results, indent=2))
        return
    for name, figures in results.items():
        print(name)
        for what, figure in figures.items():
            print(f"  {what:44}{figure:12.3f}")


if __name__ == "__main__":
    main()
