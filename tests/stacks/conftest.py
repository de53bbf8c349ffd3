"""A home folder for resources of the provider, emptied of processes afterwards."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from stacks.local.home import Home
from stacks.local.supervisor import Supervisor


@pytest.fixture
def home() -> Iterator[Home]:
    """The folder of one environment under a private temporary folder (0700, as ``mktemp -d`` makes it)."""
    top = Path(tempfile.mkdtemp(prefix="modelyard-provider-"))
    made = Home(top / ".modelyard" / "dev")
    try:
        yield made
    finally:
        Supervisor(made).shut_down()
        shutil.rmtree(top, ignore_errors=True)
