"""The Python language host beside a CLI that was built: plain ``pulumi up`` needs one."""

from __future__ import annotations

import sys
from pathlib import Path

from stacks.local.home import write_private

_NAME = "pulumi-language-python"
# The interpreter of the project comes first: several virtual environments share one cache.
_WRAPPER = """\
#!/bin/sh
link=$(readlink .modelyard/bin/pulumi-resource-modelyard 2>/dev/null)
for bin in "$MODELYARD_BIN" "$VIRTUAL_ENV/bin" "${{link%/*}}" "{bin}"; do
  if [ -x "$bin/pulumi-resource-modelyard" ] && [ -x "$bin/python" ]; then
    exec "$bin/python" -P -m stacks.toolchain.language_host "$@"
  fi
done
echo "no virtual environment with modelyard found; activate one" >&2
exit 1
"""


def write_language_host(folder: Path) -> None:
    """Write the host beside the CLI in ``folder``, unless the official one is there."""
    path = folder / _NAME
    text = _WRAPPER.format(bin=Path(sys.executable).parent)
    if path.exists():
        head = path.read_bytes()[:64]
        if not head.startswith(b"#!/bin/sh\nlink=") or path.read_bytes() == text.encode():
            return
        if Path(_fallback(path), "python").exists():
            return
    write_private(path, text)
    path.chmod(0o755)


def _fallback(path: Path) -> str:
    """The virtual environment that wrote the wrapper."""
    line = next(line for line in path.read_text().splitlines() if line.startswith("for bin in"))
    return line.rsplit('"', 2)[1]
