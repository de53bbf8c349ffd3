"""The parsers under a fuzzer that looks for new paths through them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("atheris", reason="atheris has wheels for Linux on x86-64 and Python up to 3.13 only")


def test_no_body_gets_through_the_parsers_but_as_rows_or_words(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    command = [
        "-m",
        "tests.mlops.serving.fuzz_bodies",
        "-max_total_time=20",
        "-timeout=20",
        "-rss_limit_mb=2048",
    ]
    done = subprocess.run(
        [sys.executable, *command, f"-artifact_prefix={tmp_path}/", str(corpus)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Done" in done.stderr
