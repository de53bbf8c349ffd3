"""The tracking server over its REST interface: one keep-alive client, never ``import mlflow``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from blueprints.environment import TrackingRef
from blueprints.errors import ExitCode, Problem, UsageProblem
from mlops.tracking.entities import (
    DatasetInput,
    Experiment,
    MetricPoint,
    ModelVersion,
    RegisteredModel,
    Run,
    RunPage,
)

_API = "/api/2.0/mlflow"
#: MLflow answers at most this many of each on one page.
_PAGE = 1000


class TrackingClient:
    """Reads and, for aliases and tags, writes one tracking server. Safe to share between threads.

    Args:
        ref: Where the server is and the credentials for it.
        timeout: Seconds for one request.

    Every method raises :class:`Problem` in words when the server is down, refuses or does not know the thing.
    """

    def __init__(self, ref: TrackingRef, timeout: float = 5.0) -> None:
        auth = (ref.username, ref.password.get_secret_value()) if ref.username else None
        self.url = ref.url.rstrip("/")
        # trust_env off: a corporate proxy must not see the credentials of a loopback server.
        self._http = httpx.Client(base_url=self.url, auth=auth, timeout=timeout, trust_env=False)

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def _call(self, method: str, path: str, what: str, **options: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **options)
        except httpx.TimeoutException:
            raise self._down("does not answer in time") from None
        except httpx.TransportError:
            raise self._down("does not answer") from None
        if response.is_success:
            return response
        raise self._refused(response, what)

    def _down(self, how: str) -> Problem:
        return Problem(
            f"the tracking server {how}",
            where=self.url,
            todo="modelyard status; modelyard logs tracking",
            code=ExitCode.RETRY,
        )

    def _refused(self, response: httpx.Response, what: str) -> Problem:
        if response.status_code == 401:
            return Problem("the tracking server refuses the credentials", where=self.url, todo="modelyard up")
        if response.status_code == 403:
            return Problem(f"not allowed: {what}", where=self.url, expected="a user with that permission")
        message = _message(response)
        if response.status_code == 404:
            return Problem(message or f"not found: {what}", where=what)
        if response.status_code == 400:
            return UsageProblem(f"{what}: {message or 'the server refuses it'}", where=self.url)
        # The server's own fault: its database or its storage may be away.
        code = ExitCode.RETRY if response.status_code >= 500 else ExitCode.FAILED
        return Problem(f"{what}: {message or f'answer {response.status_code}'}", where=self.url, code=code)

    def _get(self, path: str, what: str, **params: Any) -> dict[str, Any]:
        return self._json(self._call("GET", _API + path, what, params=params))

    def _post(self, path: str, what: str, body: Mapping[str, Any], method: str = "POST") -> dict[str, Any]:
        return self._json(self._call(method, _API + path, what, json=body))

    def _json(self, response: httpx.Response) -> dict[str, Any]:
        try:
            data = response.json()
        except ValueError:
            data = None
        if isinstance(data, dict):
            return data
        raise Problem(
            "what answers here does not speak MLflow's REST interface",
            where=self.url,
            expected="the tracking server of this environment",
            todo="modelyard status",
        )

    def ready(self) -> None:
        """Ask a real question of the database; returns when it is answered."""
        self._post("/experiments/search", "experiments", {"max_results": 1})

    def version(self, name: str, version: str, timeout: float | None = None) -> ModelVersion:
        """One version of a model; ``timeout``: seconds, when it should be other than the client's."""
        params = {"name": name, "version": version}
        options: dict[str, Any] = {"timeout": timeout} if timeout else {}
        path = f"{_API}/model-versions/get"
        data = self._json(self._call("GET", path, f"{name} version {version}", params=params, **options))
        return _model_version(data["model_version"])

    def server_version(self) -> str:
        """The server's MLflow version."""
        return self._call("GET", "/version", "version").text.strip()

    def experiments(self) -> tuple[Experiment, ...]:
        """Every active experiment."""
        found: list[Experiment] = []
        token = ""
        while True:
            body = {"max_results": _PAGE, "page_token": token or None}
            data = self._post("/experiments/search", "experiments", body)
            found += [
                Experiment(e["experiment_id"], e["name"], e["lifecycle_stage"], _time(e.get("creation_time")))
                for e in data.get("experiments", ())
            ]
            token = data.get("next_page_token", "")
            if not token:
                return tuple(found)

    def runs(
        self,
        experiment_ids: Sequence[str] | None = None,
        filter: str = "",
        order_by: Sequence[str] = (),
        page_size: int = _PAGE,
        token: str = "",
    ) -> RunPage:
        """One page of runs, newest first unless ``order_by`` says otherwise.

        Args:
            experiment_ids: Which experiments; None: all active ones.
            filter: MLflow's search language, ``metrics.auc > 0.9``.
            order_by: ``metrics.auc DESC`` and the like.
            page_size: 1 to 1000.
            token: ``next_token`` of the page before.
        """
        ids = list(experiment_ids) if experiment_ids is not None else [each.id for each in self.experiments()]
        if not ids:
            return RunPage((), "")
        body = {
            "experiment_ids": ids,
            "filter": filter,
            "order_by": list(order_by),
            "max_results": page_size,
            "page_token": token or None,
        }
        data = self._post("/runs/search", "runs", body)
        return RunPage(tuple(_run(each) for each in data.get("runs", ())), data.get("next_page_token", ""))

    def run(self, run_id: str) -> Run:
        """One run."""
        return _run(self._get("/runs/get", f"run {run_id}", run_id=run_id)["run"])

    def metric_history(self, run_id: str, key: str) -> tuple[MetricPoint, ...]:
        """Every value of a metric of a run, by step."""
        data = self._get(
            "/metrics/get-history", f"metric {key}", run_id=run_id, metric_key=key, max_results=25_000
        )
        points = [
            MetricPoint(
                int(m.get("step", 0)),
                datetime.fromtimestamp(m["timestamp"] / 1000, UTC),
                _number(m["value"]),
            )
            for m in data.get("metrics", ())
        ]
        return tuple(sorted(points, key=lambda point: (point.step, point.timestamp)))

    def models(self) -> tuple[RegisteredModel, ...]:
        """Every registered model."""
        found: list[RegisteredModel] = []
        token = ""
        while True:
            params = {"max_results": 100} | ({"page_token": token} if token else {})
            data = self._get("/registered-models/search", "models", **params)
            found += [_model(each) for each in data.get("registered_models", ())]
            token = data.get("next_page_token", "")
            if not token:
                return tuple(found)

    def versions(self, name: str) -> tuple[ModelVersion, ...]:
        """Every version of a model, newest first."""
        # MLflow's search language has no escape inside quotes, only two kinds of them.
        quote = '"' if "'" in name else "'"
        found: list[ModelVersion] = []
        token = ""
        while True:
            params = {"filter": f"name={quote}{name}{quote}", "max_results": 500}
            data = self._get(
                "/model-versions/search", f"model {name}", **params | ({"page_token": token} if token else {})
            )
            found += [_model_version(each) for each in data.get("model_versions", ())]
            token = data.get("next_page_token", "")
            if not token:
                return tuple(sorted(found, key=lambda each: int(each.version), reverse=True))

    def alias(self, name: str, alias: str) -> ModelVersion:
        """The version an alias points to."""
        data = self._get("/registered-models/alias", f"{name}@{alias}", name=name, alias=alias)
        return _model_version(data["model_version"])

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Point an alias of a model to a version."""
        body = {"name": name, "alias": alias, "version": version}
        self._post("/registered-models/alias", f"{name}@{alias}", body)

    def remove_alias(self, name: str, alias: str) -> None:
        """Take an alias off a model; one that is not there is no fault."""
        body = {"name": name, "alias": alias}
        self._post("/registered-models/alias", f"{name}@{alias}", body, method="DELETE")

    def model(self, name: str) -> RegisteredModel:
        """One registered model with its aliases and tags."""
        data = self._get("/registered-models/get", f"model {name}", name=name)
        return _model(data["registered_model"])

    def set_model_tag(self, name: str, key: str, value: str) -> None:
        """Tag a registered model."""
        body = {"name": name, "key": key, "value": value}
        self._post("/registered-models/set-tag", f"model {name}", body)

    def set_version_tag(self, name: str, version: str, key: str, value: str) -> None:
        """Tag a version of a model."""
        body = {"name": name, "version": version, "key": key, "value": value}
        self._post("/model-versions/set-tag", f"{name} version {version}", body)

    def artifacts(self, run_id: str, path: str = "") -> tuple[tuple[str, bool, int], ...]:
        """``(path, is folder, bytes)`` of the artifacts of a run below ``path``."""
        params = {"run_id": run_id} | ({"path": path} if path else {})
        data = self._get("/artifacts/list", f"artifacts of {run_id}", **params)
        return tuple(
            (f["path"], bool(f.get("is_dir")), int(f.get("file_size") or 0)) for f in data.get("files", ())
        )

    def artifact(self, run_id: str, path: str) -> bytes:
        """The content of one artifact of a run."""
        what = f"artifact {path} of run {run_id}"
        params = {"run_id": run_id, "path": path}
        return self._call("GET", "/get-artifact", what, params=params).content

    def put_artifact(self, run_id: str, path: str, content: bytes) -> None:
        """Write one artifact of a run through the server.

        Raises:
            Problem: The server does not carry the artifacts of this run, or refuses.
        """
        info = self._get("/runs/get", f"run {run_id}", run_id=run_id)["run"]["info"]
        scheme, _, rest = str(info["artifact_uri"]).partition(":")
        if scheme != "mlflow-artifacts":
            raise Problem(
                f"the artifacts of run {run_id} do not go through the tracking server", where=self.url
            )
        root = urlsplit(f"{scheme}:{rest}").path.strip("/")
        url = f"/api/2.0/mlflow-artifacts/artifacts/{quote(f'{root}/{path}')}"
        self._call("PUT", url, f"artifact {path} of run {run_id}", content=content)


def _message(response: httpx.Response) -> str:
    try:
        data = response.json()
    except ValueError:
        return ""
    return str(data.get("message", "")) if isinstance(data, dict) else ""


def _time(milliseconds: Any) -> datetime | None:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC) if milliseconds else None


def _number(value: Any) -> float:
    # JSON has no NaN and no infinities; MLflow writes them as words.
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _pairs(items: Iterable[Mapping[str, Any]] | None) -> dict[str, str]:
    return {item["key"]: str(item.get("value", "")) for item in items or ()}


def _run(data: Mapping[str, Any]) -> Run:
    info, content = data["info"], data.get("data", {})
    inputs = data.get("inputs", {}).get("dataset_inputs", ())
    return Run(
        id=info["run_id"],
        name=info.get("run_name", ""),
        experiment_id=info["experiment_id"],
        status=info.get("status", ""),
        start=_time(info.get("start_time")),
        end=_time(info.get("end_time")),
        user=info.get("user_id", ""),
        params=_pairs(content.get("params")),
        metrics={m["key"]: _number(m.get("value")) for m in content.get("metrics", ())},
        tags=_pairs(content.get("tags")),
        inputs=tuple(_dataset(each) for each in inputs),
    )


def _dataset(data: Mapping[str, Any]) -> DatasetInput:
    dataset, tags = data["dataset"], _pairs(data.get("tags"))
    return DatasetInput(
        dataset.get("name", ""),
        dataset.get("digest", ""),
        dataset.get("source_type", ""),
        tags.get("mlflow.data.context", ""),
    )


def _model_version(data: Mapping[str, Any]) -> ModelVersion:
    return ModelVersion(
        name=data["name"],
        version=str(data["version"]),
        run_id=data.get("run_id", ""),
        status=data.get("status", ""),
        created=_time(data.get("creation_timestamp")),
        aliases=tuple(data.get("aliases", ())),
        tags=_pairs(data.get("tags")),
        source=data.get("source", ""),
        description=data.get("description", ""),
    )


def _model(data: Mapping[str, Any]) -> RegisteredModel:
    return RegisteredModel(
        name=data["name"],
        description=data.get("description", ""),
        created=_time(data.get("creation_timestamp")),
        updated=_time(data.get("last_updated_timestamp")),
        aliases={a["alias"]: str(a["version"]) for a in data.get("aliases", ())},
        tags=_pairs(data.get("tags")),
        versions=tuple(_model_version(each) for each in data.get("latest_versions", ())),
    )
