"""The monitor on its own: nothing is counted twice or lost, and no model holds up another."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlops.data.tables import dataset, location
from mlops.monitoring.profile import Profile
from mlops.monitoring.profile.storage import to_bytes
from mlops.monitoring.service import blocks
from mlops.monitoring.service.reference import Reference
from mlops.monitoring.service.rows import columns
from tests.mlops.monitoring.service.watched import monitor, reference, send
from tests.mlops.serving.logs import environment

ROOT = Path(__file__).parents[4]
_KILLS = 12


def test_killed_at_any_point_no_block_is_counted_twice_or_lost(tmp_path: Path) -> None:
    kept, made = tmp_path / "reference.json", environment(tmp_path)
    kept.write_text(reference())
    argv = [sys.executable, "-m", "tests.mlops.monitoring.service.watched", str(tmp_path), str(kept)]
    chance, rows, moved = random.Random(1), 0, set[int]()
    for turn in range(_KILLS):
        send(made, tmp_path, "m", f"turn{turn}", 2000)
        rows += 2000
        with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            time.sleep(chance.uniform(0, 1.2))
            child.kill()
        watching = monitor(tmp_path, {"m": kept.read_text()})
        moved.add(len(blocks.newest(watching._book.store, "m", "1")))
        watching._book.store.close()
    # The kills fell into the work, not before or after it.
    assert len(moved) > _KILLS // 3
    watching = monitor(tmp_path, {"m": kept.read_text()})
    while watching.look("m"):
        pass
    found = blocks.newest(watching._book.store, "m", "1")
    assert [each.profile.rows for each in found] == [100] * (rows // 100)
    data = dataset(made.storage, location(made, "predictions", "m"))
    like = Reference.from_json(kept.read_text()).profile
    whole = Profile.of(columns(data.to_table(), like).table, like=like)
    assert to_bytes(blocks.summed(found)) == to_bytes(whole)
    assert len(watching._book.store.windows("m", 1000)) == rows // 100


@pytest.mark.parametrize("broken", ["{", '{"schema": 1}', json.dumps({"schema": 2, "task": "regression"})])
def test_a_model_that_cannot_be_analysed_is_a_fault_in_words_and_the_others_go_on(
    tmp_path: Path, broken: str
) -> None:
    made = environment(tmp_path)
    for model in ("bad", "good"):
        send(made, tmp_path, model, model, 300)
    watching = monitor(tmp_path, {"bad": broken, "good": reference()})
    faults = watching.look_at_all()
    assert set(faults) == {"bad"}
    assert "the reference" in faults["bad"]
    assert len(watching._book.store.windows("good")) == 3
    assert watching._book.store.windows("bad") == []
    # Once it can be read, nothing of it was lost.
    again = monitor(tmp_path, {"bad": reference(), "good": reference()})
    assert again.look_at_all() == {}
    assert len(again._book.store.windows("bad")) == 3
