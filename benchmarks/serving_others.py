"""What a user would serve with instead: ``mlflow models serve`` and BentoML, each with one worker."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from benchmarks.serving import FEATURES, Target, forest, wait_for

BENTOML = "1.4.39"
NAMES = ("mlflow models serve", "mlflow models serve, forest", "BentoML", "BentoML, forest")
_SERVICE = """
import bentoml, joblib, numpy as np
@bentoml.service(workers=1)
class Model:
    def __init__(self):
        self.model = joblib.load("model.joblib")
    @bentoml.api
    def predict(self, rows: np.ndarray) -> np.ndarray:
        return self.model.predict_proba(rows)[:, 1]
"""


def starts(
    folder: Path, only: Collection[str] | None
) -> dict[str, Callable[[], AbstractContextManager[Target]]]:
    """How each of them is started; what cannot be had here is left out, with words."""
    wanted = [name for name in NAMES if not only or name in only]
    made: dict[str, Callable[[], AbstractContextManager[Target]]] = {}
    for name in wanted:
        if name.startswith("mlflow"):
            made[name] = partial(_mlflow, name, folder)
    if any(name.startswith("BentoML") for name in wanted):
        python = _bentoml_environment()
        if python is not None:
            made |= {name: partial(_bentoml, name, folder, python) for name in wanted if name[0] == "B"}
    return made


def _estimator(name: str) -> Any:
    from tests.mlops.serving.gateway_parts import logistic

    return forest() if name.endswith("forest") else logistic(FEATURES)


def _row() -> list[float]:
    return [round(0.1 * index - 1, 3) for index in range(FEATURES)]


@contextmanager
def _mlflow(name: str, folder: Path) -> Iterator[Target]:
    import mlflow.sklearn
    import numpy as np

    path = folder / name.replace(", ", "-").replace(" ", "-")
    example = np.asarray([_row()])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator = _estimator(name)
        mlflow.sklearn.save_model(
            estimator,
            str(path),
            signature=mlflow.models.infer_signature(example, estimator.predict(example)),
            pip_requirements=[],
            skops_trusted_types=["sklearn.tree._tree.Tree"],
        )
    port = _port()
    words = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(path), "--env-manager", "local"]
    words += ["--workers", "1", "--host", "127.0.0.1", "--port", str(port)]
    body = json.dumps({"inputs": [_row()]}).encode()
    with _running(name, words, folder, f"http://127.0.0.1:{port}/invocations", body) as target:
        yield target


@contextmanager
def _bentoml(name: str, folder: Path, python: Path) -> Iterator[Target]:
    import joblib

    home = folder / name.replace(", ", "-")
    home.mkdir()
    joblib.dump(_estimator(name), home / "model.joblib")
    (home / "service.py").write_text(_SERVICE)
    port = _port()
    words = [str(python), "-m", "bentoml", "serve", "service:Model", "--host", "127.0.0.1"]
    words += ["--port", str(port)]
    body = json.dumps({"rows": [_row()]}).encode()
    with _running(name, words, home, f"http://127.0.0.1:{port}/predict", body) as target:
        yield target


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _running(name: str, words: list[str], cwd: Path, url: str, body: bytes) -> Iterator[Target]:
    quiet = {"OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "BENTOML_DO_NOT_TRACK": "True"}
    process = subprocess.Popen(
        words,
        cwd=cwd,
        env={**os.environ, **quiet, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    top = psutil.Process(process.pid)
    try:
        target = Target(name, top, url, body)
        wait_for(target)
        yield target
    finally:
        # A server that is asked to end while it starts may leave its workers behind.
        family = [*top.children(recursive=True), top] if process.poll() is None else []
        for each in family:
            each.terminate()
        for each in psutil.wait_procs(family, 10)[1]:
            each.kill()
        process.wait(10)


def _bentoml_environment() -> Path | None:
    """The Python of an environment of its own, made once; None: it cannot be had here."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = cache / "modelyard" / "benchmarks" / f"bentoml-{BENTOML}"
    python = home / "bin" / "python"
    if (home / "done").exists():
        return python
    uv = Path(sys.executable).parent / "uv"
    program = str(uv) if uv.exists() else shutil.which("uv")
    # The model is read there with what it was fitted with here.
    same = [f"{each}=={importlib.metadata.version(each)}" for each in ("scikit-learn", "numpy")]
    try:
        if not program:
            raise OSError("there is no uv")
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        for words in (
            [program, "venv", "-q", "--clear", "--python", version, str(home)],
            [program, "pip", "install", "-q", "--python", str(python), f"bentoml=={BENTOML}", *same],
        ):
            subprocess.run(words, check=True, capture_output=True, text=True, timeout=900)
    except (OSError, subprocess.SubprocessError) as error:
        said = str(getattr(error, "stderr", "") or error).strip()
        print(f"BentoML is left out, it cannot be installed here: {said[-300:]}", file=sys.stderr)
        return None
    (home / "done").touch()
    return python
