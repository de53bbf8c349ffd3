"""Killed between commit and send, and in the middle of sending: nothing is lost, the key tells of repeats."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from mlops.monitoring.alerts import Notifier
from tests.mlops.monitoring.alerts import killed
from tests.servers import Answer, Request, serving

ROUNDS = 20


def test_twenty_kills_lose_no_notice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(killed.KEY, "k")
    got: Counter[str] = Counter()
    models: dict[str, str] = {}
    victim = 0
    known = threading.Event()

    def receive(request: Request) -> Answer:
        key = request.headers["idempotency-key"]
        got[key] += 1
        models[key] = request.data["model"]
        known.wait(10)
        if victim:
            # The notice is taken, and the sender never hears that it was.
            os.kill(victim, signal.SIGKILL)
        return Answer(200, {})

    url = f"sqlite:///{tmp_path / 'alerts.db'}"
    with serving(receive) as receiver:
        argv = [sys.executable, "-m", killed.__name__, url, f"{receiver}/hook"]
        with subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, killed.KEY: "k"},
        ) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            for number in range(ROUNDS):
                known.clear()
                sends = number % 2
                child.stdin.write(f"m{number} {'send' if sends else 'wait'}\n")
                child.stdin.flush()
                word, pid = child.stdout.readline().split()
                assert word == "committed"
                victim = int(pid)
                known.set()
                if not sends:
                    os.kill(victim, signal.SIGKILL)
                assert child.stdout.readline() == "over 0\n"
                victim = 0
            child.stdin.close()
        assert got, "the middle of sending was never reached"
        book = killed.alerts(url, f"{receiver}/hook")
        known.set()
        Notifier(book).deliver()
        assert len(book.store.alerts("firing")) == ROUNDS
        assert sorted(models.values()) == sorted(f"m{n}" for n in range(ROUNDS))
        # Those killed in the middle came twice, with the same key.
        assert max(got.values()) >= 2
        assert Notifier(book).deliver() == 0
