"""The tracking client against a real server with accounts, and against servers that are not well."""

from __future__ import annotations

import math
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from pydantic import SecretStr

from blueprints.environment import TrackingRef
from blueprints.errors import ExitCode, Problem
from mlops.tracking.client import TrackingClient
from tests.conftest import Live

_RUNS = 7


@pytest.fixture(scope="module")
def client(live: Live) -> Iterator[TrackingClient]:
    client = TrackingClient(live.environment.tracking, timeout=30)
    yield client
    client.close()


@pytest.fixture(scope="module")
def experiment(live: Live) -> str:
    """Seven runs with params, metrics, tags and a dataset, and a model with two versions."""
    ref = live.environment.tracking
    auth = (ref.username, ref.password.get_secret_value())
    with httpx.Client(base_url=f"{ref.url}/api/2.0/mlflow", auth=auth, timeout=30) as http:

        def post(path: str, **body: object) -> dict[str, dict[str, str]]:
            answer: dict[str, dict[str, str]] = http.post(path, json=body).raise_for_status().json()
            return answer

        experiment_id = str(post("/experiments/create", name="tracking-client")["experiment_id"])
        for index in range(_RUNS):
            created = http.post(
                "/runs/create",
                json={"experiment_id": experiment_id, "run_name": f"run-{index}", "start_time": 1000 + index},
            ).json()
            run_id = created["run"]["info"]["run_id"]
            metrics = [
                {"key": "auc", "value": 0.5 + 0.01 * index + 0.001 * step, "timestamp": 1000, "step": step}
                for step in (2, 0, 1)
            ]
            odd = {"key": "odd", "value": "NaN", "timestamp": 1000, "step": 0}
            params = [{"key": "depth", "value": str(index)}]
            post("/runs/log-batch", run_id=run_id, metrics=[*metrics, odd], params=params)
            dataset = {"name": "flights", "digest": "abc", "source_type": "local", "source": "{}"}
            context = [{"key": "mlflow.data.context", "value": "training"}]
            post("/runs/log-inputs", run_id=run_id, datasets=[{"dataset": dataset, "tags": context}])
            post("/runs/update", run_id=run_id, status="FINISHED", end_time=3000 + index)
        post("/registered-models/create", name="it's a model")
        for _ in range(2):
            post("/model-versions/create", name="it's a model", source=f"runs:/{run_id}/model", run_id=run_id)
    return experiment_id


def test_runs_come_page_by_page_in_the_order_asked_for(client: TrackingClient, experiment: str) -> None:
    names, token, pages = [], "", 0
    while True:
        page = client.runs([experiment], order_by=["metrics.auc ASC"], page_size=3, token=token)
        names += [run.name for run in page.runs]
        token, pages = page.next_token, pages + 1
        if not token:
            break
    assert names == [f"run-{index}" for index in range(_RUNS)]
    assert pages == 3


def test_a_run_carries_params_metrics_times_and_its_dataset(client: TrackingClient, experiment: str) -> None:
    found = client.runs([experiment], filter="params.depth = '3'").runs
    assert len(found) == 1
    run = client.run(found[0].id)
    assert run == found[0] or math.isnan(run.metrics["odd"])
    assert (run.name, run.status, run.experiment_id) == ("run-3", "FINISHED", experiment)
    assert run.params == {"depth": "3"}
    assert run.metrics["auc"] == pytest.approx(0.532)
    assert math.isnan(run.metrics["odd"])
    assert run.seconds == pytest.approx(2.0)
    assert [(d.name, d.digest, d.context) for d in run.inputs] == [("flights", "abc", "training")]
    history = client.metric_history(run.id, "auc")
    assert [(point.step, round(point.value, 3)) for point in history] == [(0, 0.53), (1, 0.531), (2, 0.532)]


def test_all_experiments_are_searched_when_none_is_named(client: TrackingClient, experiment: str) -> None:
    assert experiment in {each.id for each in client.experiments()}
    assert len(client.runs(filter="attributes.run_name = 'run-5'").runs) == 1
    assert client.runs([]).runs == ()


def test_models_versions_aliases_and_tags(client: TrackingClient, experiment: str) -> None:
    name = "it's a model"
    assert [each.version for each in client.versions(name)] == ["2", "1"]
    client.set_alias(name, "challenger", "1")
    client.set_version_tag(name, "1", "stage", "trial")
    version = client.alias(name, "challenger")
    assert (version.version, version.tags) == ("1", {"stage": "trial"})
    assert client.version(name, "1").aliases == ("challenger",)
    model = next(each for each in client.models() if each.name == name)
    assert model.aliases == {"challenger": "1"}
    client.set_alias(name, "challenger", "2")
    assert client.alias(name, "challenger").version == "2"


def test_threads_share_one_client(client: TrackingClient, experiment: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        pages = list(pool.map(lambda _: client.runs([experiment]), range(24)))
    assert {len(page.runs) for page in pages} == {_RUNS}


def test_what_is_not_there_is_named(client: TrackingClient) -> None:
    with pytest.raises(Problem, match="0" * 32):
        client.run("0" * 32)
    with pytest.raises(Problem, match="nowhere"):
        client.alias("nowhere", "champion")


def test_a_filter_that_cannot_be_read_is_told(client: TrackingClient, experiment: str) -> None:
    with pytest.raises(Problem, match=r"(?i)runs: .*filter"):
        client.runs([experiment], filter="not a filter ===")


def test_wrong_credentials_and_missing_permission_are_told_apart(live: Live, experiment: str) -> None:
    ref = live.environment.tracking
    wrong = ref.model_copy(update={"password": SecretStr("wrong")})
    with pytest.raises(Problem, match="refuses the credentials") as caught:
        TrackingClient(wrong).ready()
    assert "wrong" not in str(caught.value)
    httpx.post(
        f"{ref.url}/api/2.0/mlflow/users/create",
        auth=(ref.username, ref.password.get_secret_value()),
        json={"username": "guest", "password": "guest-password-1"},
    ).raise_for_status()
    guest = TrackingClient(TrackingRef(url=ref.url, username="guest", password=SecretStr("guest-password-1")))
    guest.ready()
    with pytest.raises(Problem, match="not allowed: it's a model@champion"):
        guest.set_alias("it's a model", "champion", "1")


def test_a_server_that_is_down_is_told_at_once() -> None:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{made.getsockname()[1]}"
    with pytest.raises(Problem, match="does not answer") as caught:
        TrackingClient(TrackingRef(url=url)).ready()
    assert (caught.value.where, caught.value.code) == (url, ExitCode.RETRY)


def test_a_server_that_hangs_is_told_after_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = TrackingClient(TrackingRef(url=f"http://127.0.0.1:{server.getsockname()[1]}"), timeout=0.2)
        with pytest.raises(Problem, match="does not answer in time"):
            client.ready()


@pytest.mark.parametrize(
    ("head", "body", "said"),
    [
        ("500 Internal Server Error", b"<html>", "experiments: answer 500"),
        ("200 OK", b"<html>another program</html>", "does not speak"),
    ],
)
def test_a_faulty_or_foreign_server_is_told(head: str, body: bytes, said: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(f"HTTP/1.1 {head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(Problem, match=said):
            TrackingClient(TrackingRef(url=f"http://127.0.0.1:{server.getsockname()[1]}")).ready()
        thread.join()
