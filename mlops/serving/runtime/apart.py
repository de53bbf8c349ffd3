"""Conversion in a process of its own: an exporter that hangs or eats memory is ended, not the gateway."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlops.serving.runtime.environments import without_secrets

_MIB = 1024**2


def limited(memory: int, seconds: int) -> None:
    """Limits of this process: bytes of memory that it may write to, seconds of processor time.

    Address space is not limited: numeric libraries reserve far more of it than they use.
    """
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))


def convert_apart(
    model: Path,
    trust: bool,
    rows: Path | None = None,
    memory: int = 2048 * _MIB,
    seconds: int = 300,
) -> tuple[bytes | None, dict[str, Any]]:
    """The graph (None: not possible or not equal) and the report of ``python -m …runtime.convert``.

    Args:
        model: Folder with the MLmodel.
        trust: Its files may run code, in that process.
        rows: Held-out rows as JSON.
        memory: Bytes it may hold.
        seconds: It may take.
    """
    with TemporaryDirectory(prefix="modelyard-onnx-") as scratch:
        words = [sys.executable, "-m", "mlops.serving.runtime.convert", str(model), scratch]
        words += ["--trust"] if trust else []
        words += ["--rows", str(rows)] if rows is not None else []
        code = f"from mlops.serving.runtime.apart import limited; limited({memory}, {seconds}); "
        code += "import runpy, sys; sys.argv = sys.argv[1:]; "
        code += "runpy.run_module('mlops.serving.runtime.convert', run_name='__main__', alter_sys=True)"
        words[1:3] = ["-c", code, "convert"]
        fault = _run(words, seconds)
        report, graph = Path(scratch, "report.json"), Path(scratch, "model.onnx")
        if fault or not report.is_file():
            return None, {"ok": False, "reason": fault or "the conversion ended without a report"}
        found: dict[str, Any] = json.loads(report.read_text("utf-8"))
        return (graph.read_bytes() if graph.is_file() else None), found


def _run(words: list[str], seconds: int) -> str:
    """Run it in a group of its own; returns why it failed."""
    # One thread: it runs beside requests that are being answered.
    # Neither the gateway's secrets nor its tracking server are needed to read a folder.
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    variables = {**without_secrets(), **threads}
    made = subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=variables,
        text=True,
        errors="replace",
    )
    try:
        _, said = made.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(made.pid, signal.SIGKILL)
        made.communicate()
        return f"the conversion took more than {seconds} s and was ended"
    if made.returncode == 0:
        return ""
    last = (said.strip().splitlines() or [""])[-1][:200]
    if made.returncode < 0:
        return f"the conversion was ended by {signal.Signals(-made.returncode).name}"
    if "MemoryError" in said or "Unable to allocate" in said or "bad_alloc" in said:
        return "the conversion needs more memory than it may have"
    return f"the conversion failed: {last}"
