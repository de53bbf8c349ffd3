"""Plan: how long a preview takes against the number of resources, ours beside bare Pulumi, in one run.

    python benchmarks/plan.py [--quick] [--json]

The same program, with the same provider and resources, is previewed by ``modelyard preview`` (events, policy
pack, cost, the fingerprint) and by plain ``pulumi preview``: the ratio is what Modelyard adds. Wall and
CPU seconds of the whole command with its children, interleaved so that both see the same noise.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.bringup import BIN, environment, timed, workspace
from stacks.toolchain import find_engine

SIZES = (10, 100, 500)
#: Resources that cost the provider next to nothing, in the layers of an environment.
PROGRAM = """\
import pulumi
from stacks.components.local.resources import Home, LayerComponent, Port

layer = LayerComponent("network", Home("{home}", False))
for number in range({count}):
    Port(f"port-{{number}}", layer)
"""
Measure = tuple[float, float]


def ours(folder: Path) -> Callable[[], Measure]:
    """``modelyard preview`` in the project."""
    return lambda: timed([str(BIN / "modelyard"), "preview", "--quiet"], folder, environment())


def bare(folder: Path) -> Callable[[], Measure]:
    """``pulumi preview`` in the project, with what a person would have set."""
    engine = Path(find_engine().path)
    env = environment(
        PULUMI_CONFIG_PASSPHRASE_FILE=str(folder / ".modelyard" / "passphrase"),
        PULUMI_SKIP_UPDATE_CHECK="true",
        PULUMI_HOME=str(folder / ".modelyard" / "pulumi"),
        PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION="true",
    )
    env["PATH"] = f"{engine.parent}{os.pathsep}{env['PATH']}"
    command = [str(engine), "preview", "--non-interactive", "--stack", "dev"]
    return lambda: timed(command, folder, env)


def project(folder: Path, count: int) -> Path:
    """A project whose program makes ``count`` resources."""
    timed([str(BIN / "modelyard"), "-C", str(folder), "init", "--yes"], folder, environment())
    home = folder / ".modelyard" / "dev"
    (folder / "__main__.py").write_text(PROGRAM.format(home=home, count=count))
    return folder


def measure(count: int, repetitions: int) -> dict[str, list[float]]:
    """Seconds of both, ``repetitions`` times each after one round that is thrown away."""
    found: dict[str, list[float]] = {name: [] for name in ("ours_s", "bare_s", "ours_cpu_s", "bare_cpu_s")}
    with workspace() as folder:
        made = project(folder, count)
        runs = {"ours": ours(made), "bare": bare(made)}
        for run in runs.values():
            run()
        for number in range(repetitions):
            print(f"{count} resources, round {number + 1} of {repetitions}", file=sys.stderr)
            for name, run in runs.items():
                wall, cpu = run()
                found[f"{name}_s"].append(wall)
                found[f"{name}_cpu_s"].append(cpu)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, under 5 minutes")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = {count: measure(count, 3 if options.quick else 9) for count in SIZES}
    medians = {
        count: {name: statistics.median(values) for name, values in found.items()}
        for count, found in results.items()
    }
    ratios = {
        f"{count} resources": {
            "wall": median["ours_s"] / median["bare_s"],
            "cpu": median["ours_cpu_s"] / median["bare_cpu_s"],
        }
        for count, median in medians.items()
    }
    if options.json:
        print(json.dumps({"medians": medians, "ratios": ratios, "all": results}, indent=2))
        return
    for count, median in medians.items():
        print(f"{count:4} resources  " + "  ".join(f"{name} {value:6.2f}" for name, value in median.items()))
    print(" · ".join(f"{name} {each['wall']:.2f} (CPU {each['cpu']:.2f})" for name, each in ratios.items()))


if __name__ == "__main__":
    main()
