"""Loading versions: each on its own, again after a fault that may pass, gone a little after it was wanted."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from blueprints.errors import ExitCode, Problem
from mlops.serving.fleet import Fleet
from tests.mlops.serving.control_parts import Blank, Loading
from tests.mlops.yard import until

ONE, TWO = ("m", "1"), ("m", "2")


@contextmanager
def fleet(loading: Loading, linger: float = 0.0) -> Iterator[Fleet]:
    made = Fleet(loading, linger=linger)
    made.start()
    try:
        yield made
    finally:
        made.stop()


def test_a_slow_load_does_not_hold_up_another() -> None:
    gate = threading.Event()
    with fleet(Loading(gates={ONE: gate})) as made:
        made.want([ONE, TWO])
        until(lambda: TWO in made.loaded, 10)
        assert made.loading == {ONE}
        gate.set()
        until(lambda: ONE in made.loaded, 10)
        assert made.loading == frozenset()


def test_a_fault_that_may_pass_is_tried_again_later_each_time_later() -> None:
    away = Problem("the storage is away\nwith more words", code=ExitCode.RETRY)
    loading = Loading(faults={ONE: away})
    with fleet(loading) as made:
        made.want([ONE])
        until(lambda: ONE in made.faults, 10)
        first = made.faults[ONE]
        assert (first.reason, first.attempts, first.final) == ("the storage is away", 1, False)
        assert 1.0 < first.retry - time.monotonic() <= 2.0
        made.hurry()
        until(lambda: made.faults[ONE].attempts == 2, 10)
        assert made.faults[ONE].retry - time.monotonic() > 2.5
        loading.faults.clear()
        made.retry(ONE)
        until(lambda: ONE in made.loaded, 10)
        assert ONE not in made.faults
        assert len(loading.attempts) == 3


def test_the_versions_own_fault_is_final_and_waits_for_no_registry() -> None:
    loading = Loading(faults={ONE: Problem("no pickles here"), TWO: RuntimeError("")})
    with fleet(loading) as made:
        made.want([ONE, TWO])
        until(lambda: len(made.faults) == 2, 10)
        assert made.faults[ONE].final
        assert (made.faults[TWO].reason, made.faults[TWO].final) == ("RuntimeError", False)
        attempts = loading.attempts.count(ONE)
        made.hurry()
        until(lambda: loading.attempts.count(TWO) == 2, 10)
        assert loading.attempts.count(ONE) == attempts
        # Nobody asks for it any more: its fault is of no interest either.
        made.want([])
        assert made.faults == {}


def test_what_nobody_wants_lingers_and_then_goes() -> None:
    with fleet(Loading(), linger=0.7) as made:
        made.want([ONE])
        until(lambda: ONE in made.loaded, 10)
        runtime = made.loaded[ONE]
        assert isinstance(runtime, Blank)
        made.want([TWO])
        until(lambda: TWO in made.loaded, 10)
        assert ONE in made.loaded, "requests that are in flight still have it"
        made.want([ONE, TWO])
        time.sleep(1.5)
        assert made.loaded[ONE] is runtime, "wanted again in time"
        made.want([TWO])
        until(lambda: ONE not in made.loaded, 10)
        until(lambda: runtime.closed, 10)
