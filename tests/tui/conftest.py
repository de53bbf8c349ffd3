"""Fixtures of the command line's tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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


@pytest.fixture
def modelyard(capsys: pytest.CaptureFixture[str]) -> Modelyard:
    """Run the command line in this process."""

    def run(*words: str | Path) -> Told:
        argv: Sequence[str] = [str(word) for word in words]
        code = main(argv)
        captured = capsys.readouterr()
        return Told(code, captured.out, captured.err)

    return run


@pytest.fixture
def yard(tmp_path: Path, modelyard: Modelyard) -> Path:
    """A fresh project that nothing is up in."""
    folder = tmp_path / "yard"
    assert modelyard("-C", folder, "init", "--yes").code == 0
    return folder
