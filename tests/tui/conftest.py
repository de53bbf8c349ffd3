"""Fixtures of the command line's tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tui.cli.main import main


@dataclass(frozen=True)
class Told:
    """What a command said: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


Modelyard = Callable[..., Told]


def run_modelyard(capsys: pytest.CaptureFixture[str], *words: str | Path) -> Told:
    """Run the command line in this process."""
    argv: Sequence[str] = [str(word) for word in words]
    code = main(argv)
    captured = capsys.readouterr()
    return Told(code, captured.out, captured.err)


@pytest.fixture
def modelyard(capsys: pytest.CaptureFixture[str]) -> Modelyard:
    """Run the command line in this process."""
    return partial(run_modelyard, capsys)


@pytest.fixture
def yard(tmp_path: Path, modelyard: Modelyard) -> Path:
    """A fresh project that nothing is up in."""
    folder = tmp_path / "yard"
    assert modelyard("-C", folder, "init", "--yes").code == 0
    return folder
