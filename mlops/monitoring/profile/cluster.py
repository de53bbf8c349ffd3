"""Profiles of many files on a Dask cluster (extra ``dask``)."""

from __future__ import annotations

from collections.abc import Sequence
from operator import add
from pathlib import Path
from typing import Any

from blueprints.errors import UsageProblem
from mlops.monitoring.profile.profile import Profile
from mlops.monitoring.profile.stream import profile_of


def profile_on(
    client: Any,
    files: Sequence[str | Path],
    *,
    columns: Sequence[str] | None = None,
    like: Profile | None = None,
) -> Profile:
    """Profile ``files`` where ``client`` sends them: a task a file, merged two by two on the workers.

    Args:
        client: A ``distributed.Client``; its workers see the files under the same names.
        files: Parquet files, folders of them, Delta tables.
        columns: Only these.
        like: Count as this one does; without it as the first batch of the first file does, whose profile
            is then made before the others.

    Raises:
        UsageProblem: No files, or what :func:`~mlops.monitoring.profile.stream.profile_of` raises.
    """
    if not files:
        raise UsageProblem("no files to profile", expected="at least one")
    names, done = [str(each) for each in files], []
    if like is None:
        # pure=False: a file may have changed since the cluster last saw its name.
        first = client.submit(profile_of, names.pop(0), columns=columns, pure=False)
        done, like = [first], first.result()
    done += [client.submit(profile_of, name, columns=columns, like=like, pure=False) for name in names]
    while len(done) > 1:
        pairs = zip(done[::2], done[1::2], strict=False)
        done = [client.submit(add, *pair, pure=False) for pair in pairs] + done[len(done) // 2 * 2 :]
    merged: Profile = done[0].result()
    return merged
