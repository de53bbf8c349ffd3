"""A version in a process of its own: killed, leaking, crashing and hanging, it takes nobody with it."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
from mlflow.pyfunc.model import PythonModel

from mlops.serving.rows import Batch, BusyError, ModelFaultError
from mlops.serving.runtime import environments, load, mlmodel, worker
from mlops.serving.runtime.isolated import IsolatedRuntime
from mlops.serving.runtime.load import Loaded, Policy
from mlops.serving.runtime.scaling import Scale
from mlops.serving.signature import Signature
from tests.mlops.serving.runtime_models import cached, rows_for, save_function, saved


class Naughty(PythonModel):
    """``x + y``, unless x asks for something else."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        import os
        import signal
        import time

        first = float(model_input["x"].iloc[0])
        if (model_input["x"] == -1).any():
            os.kill(os.getpid(), signal.SIGKILL)
        if first == -2:
            time.sleep(60)
        if (model_input["x"] == -3).any():
            raise ValueError("x may not be -3")
        if first == -4:
            self.kept = [*getattr(self, "kept", []), b"x" * (60 * 1024**2)]
        return model_input["x"] + model_input["y"]


@pytest.fixture(scope="module")
def naughty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_function(Naughty(), tmp_path_factory.mktemp("naughty") / "model")


def rows(runtime: Any, *x: float) -> Batch:
    """Rows whose answer is ``x + 1000``."""
    matrix = np.column_stack([np.asarray(x, float), np.full(len(x), 1000.0)])
    return Batch(runtime.signature, len(x), matrix, None, [""] * len(x))


async def until(what: Callable[[], bool], seconds: float) -> None:
    """Returns when it is so."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.05)


@asynccontextmanager
async def running(folder: Path, **more: Any) -> AsyncIterator[IsolatedRuntime]:
    logged = mlmodel.read(folder)
    made = IsolatedRuntime("m", "1", "run", logged, Path(sys.executable), **more)
    await made.start()
    try:
        yield made
    finally:
        pid = made.pid
        made.close()
        await until(lambda: not pid or not psutil.pid_exists(pid), 10)


async def test_kill_9_under_load_loses_nothing(naughty: Path) -> None:
    async with running(naughty) as runtime:
        wrong: list[Any] = []
        answered = 0
        end = asyncio.Event()

        async def caller(number: int) -> None:
            nonlocal answered
            count = 0
            while not end.is_set():
                value = float(number * 1_000_000 + count)
                count += 1
                try:
                    found = (await runtime.predict(rows(runtime, value))).values.tolist()
                except Exception as error:
                    wrong.append(error)
                    return
                answered += 1
                if found != [value + 1000]:
                    wrong.append((value, found))

        callers = [asyncio.create_task(caller(number)) for number in range(1, 9)]
        for _ in range(2):
            await asyncio.sleep(1.0)
            pid, before = runtime.pid, answered
            assert before > 0
            os.kill(pid, signal.SIGKILL)
            await until(lambda: runtime.pid not in (0, pid) and answered > before, 60)  # noqa: B023
        end.set()
        await asyncio.gather(*callers)
        assert wrong == []
        assert runtime.restarts == 2


async def test_processes_come_with_the_load_and_go_after_it(naughty: Path) -> None:
    """Many slow rows: a second process comes, its death is nobody's failure, and it goes again."""
    async with running(naughty, max_rows=1, scale=Scale(2, grow_after=2, shrink_after=3)) as runtime:
        failed: list[Exception] = []
        end = asyncio.Event()

        async def caller(number: int) -> None:
            while not end.is_set():
                value = number + random.random()
                try:
                    found = await runtime.predict(rows(runtime, *[value] * 2000))
                    assert found.values.tolist() == [value + 1000] * 2000
                except Exception as error:
                    failed.append(error)

        callers = [asyncio.create_task(caller(number)) for number in range(8)]
        await until(lambda: runtime.processes == 2, 60)
        pids = {each.pid for each in runtime._workers}
        await until(lambda: len(runtime._running) == 2, 10)
        os.kill(runtime.pid, signal.SIGKILL)
        await until(lambda: runtime.processes == 2 and {e.pid for e in runtime._workers} != pids, 60)
        end.set()
        await asyncio.gather(*callers)
        assert failed == []
        assert runtime.restarts == 1
        last = {each.pid for each in runtime._workers}
        await until(lambda: runtime.processes == 1, 30)
        await until(lambda: sum(psutil.pid_exists(pid) for pid in last) == 1, 10)
        assert (await runtime.predict(rows(runtime, 1.0))).values.tolist() == [1001.0]
        assert runtime.restarts == 1


async def test_the_request_that_kills_it_is_the_only_one_lost(naughty: Path) -> None:
    async with running(naughty) as runtime:
        asked = [runtime.predict(rows(runtime, value)) for value in (5.0, 1.0, -1.0, 2.0, 3.0)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(found[2], ModelFaultError)
        assert "SIGKILL" in str(found[2])
        others = [found[i].values[0] for i in (0, 1, 3, 4)]  # type: ignore[union-attr]
        assert others == [1005, 1001, 1002, 1003]


async def test_an_error_of_the_model_fails_its_rows_only(naughty: Path) -> None:
    async with running(naughty) as runtime:
        asked = [runtime.predict(rows(runtime, value)) for value in (5.0, 1.0, -3.0, 2.0)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert str(found[2]) == "the model refuses the rows: x may not be -3"
        assert [found[i].values[0] for i in (0, 1, 3)] == [1005, 1001, 1002]  # type: ignore[union-attr]
        assert runtime.restarts == 0


async def test_a_model_that_leaks_is_stopped_and_said_to_be_busy_in_the_end(naughty: Path) -> None:
    own = psutil.Process().memory_info().rss
    async with running(naughty, memory=700 * 1024**2, scale=Scale(2, grow_after=1)) as runtime:
        faults: list[Exception] = []
        most = 0
        deadline = time.monotonic() + 100
        while time.monotonic() < deadline and not any(isinstance(each, BusyError) for each in faults):
            try:
                await runtime.predict(rows(runtime, -4.0))
                most = max(most, runtime.processes) if runtime.restarts else 0
            except (ModelFaultError, BusyError) as error:
                faults.append(error)
        assert isinstance(faults[-1], BusyError)
        assert runtime.memory_kills + sum("allocate" in str(each) for each in faults) > 0
        assert runtime.restarts >= 2
        assert most <= 1, "more of what dies only dies more often"
    assert psutil.Process().memory_info().rss - own < 200 * 1024**2


async def test_a_prediction_that_hangs_is_ended(naughty: Path) -> None:
    async with running(naughty, stuck=1.0) as runtime:
        with pytest.raises(ModelFaultError, match="took more than 1 s"):
            await runtime.predict(rows(runtime, -2.0))
        assert (await runtime.predict(rows(runtime, 7.0))).values.tolist() == [1007.0]


async def test_texts_and_missing_values_arrive_as_they_are() -> None:
    logged = mlmodel.read(saved("flights"))
    batch = mlmodel.of_columns(logged.signature, rows_for("flights", 300, 9))
    from mlops.serving.runtime.native import NativeRuntime, predictor

    expected = NativeRuntime("m", "1", "", logged, predictor(logged)).predict_now(batch)
    async with running(saved("flights")) as runtime:
        found = await runtime.predict(batch)
    assert found.values.tolist() == expected.values.tolist()


def test_frames_are_the_same_on_the_other_side() -> None:
    texts = np.empty(5, object)
    texts[:] = ["ä", None, "", "x" * 1000, b"\0\1"]
    arrays = [
        np.arange(6, dtype=np.int32).reshape(2, 3),
        np.asarray([True, False]),
        np.asarray([1.5, np.nan, np.inf]),
        np.asarray(["2020-01-01", "NaT"], "datetime64[us]"),
        texts,
        np.zeros((0, 4)),
    ]
    frame = b"".join(bytes(part) for part in worker.pack({"ok": True}, arrays))
    head, size = worker.LENGTHS.unpack(frame[: worker.LENGTHS.size])
    body = frame[worker.LENGTHS.size + head :]
    assert len(body) == size
    header = json.loads(frame[worker.LENGTHS.size : worker.LENGTHS.size + head])
    for sent, got in zip(arrays, worker.unpack(header, body), strict=True):
        assert got.dtype == sent.dtype
        assert got.shape == sent.shape
        np.testing.assert_array_equal(got, sent)


def test_the_worker_needs_nothing_of_modelyard() -> None:
    text = Path(worker.__file__).read_text("utf-8")
    lines = [line.strip() for line in text.splitlines()]
    imported = {line.split()[1].split(".")[0] for line in lines if line.startswith(("import ", "from "))}
    assert imported - set(sys.stdlib_module_names) <= {"numpy", "pandas", "mlflow"}


def test_which_requirements_differ(tmp_path: Path) -> None:
    import importlib.metadata

    major, minor, *_ = importlib.metadata.version("numpy").split(".")
    lines = [
        f"numpy=={major}.{minor}.99",  # another patch release
        "pandas>=1",
        "mlflow==2.9.0",
        "scikit-learn==0.24.2",
        "surely-not-installed==1.0",
        'pywin32==300; sys_platform == "win32"',
        "git+https://example.org/x.git",
    ]
    (tmp_path / "requirements.txt").write_text("# made by hand\n--pre\n" + "\n".join(lines))
    model = mlmodel.LoggedModel(tmp_path, {}, Signature(), "predict", ())
    found = environments.differing(model)
    assert [each.split(" (")[0] for each in found] == [
        "scikit-learn==0.24.2",
        "surely-not-installed==1.0",
        "git+https://example.org/x.git",
    ]


async def _loaded(folder: Path, into: Path, policy: Policy) -> Loaded:
    _, entry = cached(folder, into)
    return await load.load(entry, policy)


async def test_a_version_that_needs_another_library_gets_its_own_environment(tmp_path: Path) -> None:
    """Its library is in no other environment of this machine than the one built for it."""
    (tmp_path / "here").mkdir()
    package = tmp_path / "here" / "oddlib"
    package.mkdir()
    (package / "oddlib.py").write_text("def twice(x):\n    return x * 2\n")
    (package / "pyproject.toml").write_text(
        "[build-system]\nrequires = ['hatchling']\nbuild-backend = 'hatchling.build'\n"
        "[project]\nname = 'oddlib'\nversion = '1.0'\n"
        "[tool.hatch.build.targets.wheel]\ninclude = ['oddlib.py']\n"
    )
    folder = save_function(UsesOddlib(), tmp_path / "model", ["mlflow", f"oddlib @ {package.as_uri()}"])
    policy = Policy(trust_pickle=True, environments=tmp_path / "environments")
    loaded = await _loaded(folder, tmp_path / "cache", policy)
    try:
        assert loaded.facts.kind == "isolated"
        assert loaded.facts.differs
        found = await loaded.runtime.predict(rows(loaded.runtime, 4.0, 5.0))
        assert found.values.tolist() == [8.0, 10.0]
        # The second one finds the environment built.
        start = time.monotonic()
        environments.built(mlmodel.read(folder), tmp_path / "environments", trusted=True).close()
        assert time.monotonic() - start < 1
        # It is in use, whatever it takes; once the version has been let go, it is not.
        (key,) = (each.name for each in (tmp_path / "environments").iterdir() if each.is_dir())
        assert environments.evict(tmp_path / "environments", 0) == []
        loaded.runtime.close()
        await until(lambda: environments.evict(tmp_path / "environments", 0) == [key], 20)
        assert not (tmp_path / "environments" / key).exists()
    finally:
        loaded.runtime.close()
        await asyncio.sleep(0.2)


def test_environments_go_when_there_are_too_many_and_nobody_uses_them(tmp_path: Path) -> None:
    for age, key in enumerate(("newest", "middle", "oldest", "used")):
        (tmp_path / key).mkdir()
        (tmp_path / key / "modelyard.json").write_text(json.dumps({"bytes": 100}))
        os.utime(tmp_path / key / "modelyard.json", (1e9 - age, 1e9 - age))
    (tmp_path / "earlier").mkdir()
    (tmp_path / "earlier" / "modelyard.json").write_text("{}" + " " * 98)
    # Another process has it, and is then killed.
    code = "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_SH); "
    code += "print('held', flush=True); time.sleep(60)"
    words = [sys.executable, "-c", code, str(tmp_path / ".used.used")]
    user = subprocess.Popen(words, stdout=subprocess.PIPE)
    assert user.stdout is not None
    assert user.stdout.readline() == b"held\n"
    # A build and a removal were killed.
    for left in (".newest.building", ".lost.leaving"):
        (tmp_path / left).mkdir()
    assert environments.evict(tmp_path, 500) == []
    assert environments.evict(tmp_path, 300) == ["oldest", "middle"]
    user.kill()
    user.wait()
    assert environments.evict(tmp_path, 200) == ["used"]
    assert sorted(each.name for each in tmp_path.iterdir() if each.is_dir()) == ["earlier", "newest"]


class UsesOddlib(PythonModel):
    """``x`` twice, by a library that is not here."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        import oddlib  # type: ignore[import-not-found]

        return oddlib.twice(model_input["x"])


_TRAIN = """
import json, sys
import lightgbm, mlflow, numpy as np, pandas as pd
x = pd.DataFrame(np.random.default_rng(0).normal(size=(500, 3)), columns=["a", "b", "c"])
model = lightgbm.train({"objective": "binary", "verbose": -1}, lightgbm.Dataset(x, x["a"] > x["b"]), 10)
mlflow.lightgbm.save_model(
    model, sys.argv[1], signature=mlflow.models.infer_signature(x, model.predict(x)), input_example=x.head(3),
    pip_requirements=["mlflow", "lightgbm", "scikit-learn", "skops"],
)
print(json.dumps({"x": x.head(50).to_numpy().tolist(), "y": model.predict(x.head(50)).tolist()}))
"""


async def test_lightgbm_which_is_not_here_is_served_untrusted_from_its_own_environment(
    tmp_path: Path,
) -> None:
    """Its booster is text, so no trust is needed; it was trained in another environment, as a team would."""
    (tmp_path / "requirements.txt").write_text("mlflow\nlightgbm\nscikit-learn\nskops\n")
    wanted = mlmodel.LoggedModel(tmp_path, {}, Signature(), "predict", ())
    made = await asyncio.to_thread(environments.built, wanted, tmp_path / "environments")
    trained = await asyncio.to_thread(
        subprocess.run,
        [str(made.python), "-c", _TRAIN, str(tmp_path / "model")],
        capture_output=True,
        check=True,
        cwd=tmp_path,
    )
    made.close()
    said = json.loads(trained.stdout.splitlines()[-1])
    loaded = await _loaded(
        tmp_path / "model", tmp_path / "cache", Policy(environments=tmp_path / "environments")
    )
    try:
        assert (loaded.facts.kind, loaded.facts.trusted) == ("isolated", ())
        assert loaded.facts.differs == ("lightgbm (not here)",)
        matrix = np.asarray(said["x"])
        batch = Batch(loaded.runtime.signature, 50, matrix, None, [""] * 50)
        found = await loaded.runtime.predict(batch)
        np.testing.assert_allclose(found.values, said["y"], rtol=1e-12)
    finally:
        loaded.runtime.close()
        await asyncio.sleep(0.2)


def test_an_environment_that_cannot_be_built_says_so(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("numpy==99.99\nmlflow\n")
    model = mlmodel.LoggedModel(tmp_path, {}, Signature(), "predict", ())
    from blueprints.errors import Problem

    with pytest.raises(Problem, match="its environment cannot be built"):
        environments.built(model, tmp_path / "environments")
    assert not list((tmp_path / "environments").glob("[!.]*"))
