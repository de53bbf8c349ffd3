"""A real Dask cluster of two processes makes the profile that one process makes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from blueprints.errors import UsageProblem
from mlops.monitoring.profile import Profile
from mlops.monitoring.profile.cluster import profile_on
from mlops.monitoring.profile.stream import profile_of
from tests.mlops.monitoring.profile.parts import facts, table


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    distributed: Any = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def test_two_processes_make_the_same_profile(client: Any, tmp_path: Path) -> None:
    whole = table(1200).select(["wide", "far", "word", "vector"])
    files = []
    for number in range(5):
        files.append(tmp_path / f"{number}.parquet")
        pq.write_table(whole.slice(240 * number, 240), files[-1])
    like = Profile.of(whole)
    assert facts(profile_on(client, files, like=like)) == facts(like)
    assert facts(profile_on(client, files)) == facts(profile_of(tmp_path))
    assert len(client.scheduler_info()["workers"]) == 2


def test_no_files_are_refused(client: Any) -> None:
    with pytest.raises(UsageProblem, match="no files"):
        profile_on(client, [])
