#!/usr/bin/env bash
# Makes .venv from requirements.lock: says what it does, how long it took and how long to expect.
set -euo pipefail
cd "$(dirname "$0")"
python=${PYTHON:-python3}
start=$SECONDS
say() { printf '%s  %s\n' "$(printf '%3d s' $((SECONDS - start)))" "$1" >&2; }

"$python" - <<'PY' || exit 1
import sys
if sys.version_info < (3, 11):
    sys.exit(f"Python {sys.version.split()[0]} found at {sys.executable}\n  expected: Python 3.11 or later\n  do: make PYTHON=python3.12 …")
PY
if [ ! -x .venv/bin/python ] || ! .venv/bin/python -c 'import uv' 2>/dev/null; then
  say "virtual environment .venv (about 10 s)"
  "$python" -m venv .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check uv
fi
say "locked dependencies into .venv (about 40 s the first time, 1.5 GB on disk)"
.venv/bin/uv pip install --quiet --python .venv/bin/python --require-hashes --compile-bytecode -r requirements.lock
.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --editable .
touch .venv/.installed
say "ready"
