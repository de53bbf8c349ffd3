"""Evidence of several replicas added up over their restarts, from where a step began."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from mlops.serving.control.collector import Collector
from mlops.serving.control.peers import Report, read, write
from mlops.serving.control.ports import Held
from mlops.serving.evidence import Evidence
from mlops.serving.traffic import Lane

CANARY = Lane("m", "2", "canary")


def counted(requests: int) -> Evidence:
    made = Evidence()
    for _ in range(requests):
        made.answered(1, 0.01, [0.5])
    return made


def report(replica: str, requests: int, boot: str = "a") -> Report:
    return Report(replica, boot, {CANARY: counted(requests)}, frozenset({("m", "2")}), {}, {"m": (3, 1.5)})


def requests(found: Mapping[Lane, Evidence]) -> int:
    return found[CANARY].requests if CANARY in found else 0


def test_a_step_counts_from_its_mark_over_all_replicas() -> None:
    made = Collector()
    for name in ("r1", "r2"):
        made.saw(report(name, 100))
    assert made.since("m", "step 0") == {}
    made.saw(report("r1", 130))
    made.saw(report("r2", 120))
    assert requests(made.since("m", "step 0")) == 50
    assert requests(made.since("m", "step 1")) == 0
    made.saw(report("r1", 140))
    assert requests(made.since("m", "step 1")) == 10
    assert made.since("other", "step 0") == {}


def test_a_replica_that_starts_again_counts_from_nothing() -> None:
    made = Collector()
    made.saw(report("r1", 100))
    made.since("m", "step 0")
    made.saw(report("r1", 110))
    made.saw(report("r1", 7, boot="b"))
    assert requests(made.since("m", "step 0")) == 17
    made.saw(report("r1", 9, boot="b"))
    assert requests(made.since("m", "step 0")) == 19


def test_a_replica_seen_for_the_first_time_brings_no_past() -> None:
    """Its counts may be of days ago; only what comes from now on is of this step."""
    made = Collector()
    made.since("m", "step 0")
    made.saw(report("r3", 5000))
    assert requests(made.since("m", "step 0")) == 0
    made.saw(report("r3", 5001))
    assert requests(made.since("m", "step 0")) == 1


def test_a_rollout_that_is_over_is_forgotten() -> None:
    made = Collector()
    made.saw(report("r1", 1))
    made.since("m", "step 0")
    made.saw(report("r1", 2))
    made.forget("m")
    assert made.since("m", "step 0") == {}


def test_a_report_survives_its_way_and_one_of_the_release_before_is_read() -> None:
    sent = write(report("r1", 3))
    again = read("r1", sent)
    assert again.lanes[CANARY].requests == 3
    assert (again.loaded, again.states) == (frozenset({("m", "2")}), {"m": (3, 1.5)})
    del sent["states"]
    assert read("r1", sent).states == {}


def test_memory_is_the_most_of_any_replica_since_the_step_began() -> None:
    made, key = Collector(), ("m", "2")

    def reported(replica: str, held: int) -> Report:
        plain = write(replace(report(replica, 1), memory={key: held, ("m", "1"): 7}))
        return read(replica, json.loads(json.dumps(plain)))

    made.saw(reported("r1", 900))
    assert made.memory("m") == {}, "before any step"
    made.since("m", "step 0")
    for replica, held in (("r1", 100), ("r2", 300), ("r1", 200)):
        made.saw(reported(replica, held))
    assert made.memory("m") == {"2": Held(300, 3), "1": Held(7, 3)}
    made.since("m", "step 1")
    assert made.memory("m") == {}
    made.saw(reported("r1", 100))
    assert made.memory("m")["2"] == Held(100, 1)
    made.forget("m")
    made.saw(reported("r1", 100))
    assert made.memory("m") == {}


def test_a_release_before_says_nothing_of_memory() -> None:
    plain = write(report("r1", 1))
    del plain["memory"]
    assert read("r1", plain).memory == {}
