"""The command line starts without any heavy library."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    "textual",
    "pulumi",
    "mlflow",
    "boto3",
    "kubernetes",
    "pandas",
    "dagster",
    "rich",
    "pydantic",
    "httpx",
    "numpy",
    "yaml",
    "pyarrow",
}


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        ["up", "--help"],
        ["exec", "--help"],
        ["drift", "--help"],
        ["recover", "--help"],
        ["statsu"],
        ["runs", "--limit", "x"],
        ["policy"],
    ],
)
def test_no_heavy_library_is_imported(words: list[str]) -> None:
    code = (
        "import json, sys\n"
        "from tui.cli.main import main\n"
        f"main({words!r})\n"
        "sys.stderr.write('\\n' + json.dumps(sorted({name.split('.')[0] for name in sys.modules})))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stderr.splitlines()[-1]))
    assert "tui" in loaded
    assert not loaded & HEAVY
