"""``python -m mlops.serving``: one gateway process."""

from __future__ import annotations

import asyncio
import logging
import sys

import uvloop

from blueprints.errors import Problem
from mlops.serving.process import Process
from mlops.serving.settings import read


async def _run() -> None:
    await Process(read(), asyncio.get_running_loop()).run()


def main() -> int:
    """Serve until asked to end."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run())
    except Problem as problem:
        print(problem, file=sys.stderr)  # noqa: T201
        return int(problem.code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
