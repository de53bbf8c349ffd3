"""Fetch a version's files through the tracking server, without importing mlflow where that is possible."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from blueprints.environment import TrackingRef
from blueprints.errors import ExitCode, Problem
from mlops.tracking.entities import ModelVersion

_API = "/api/2.0"
_PROXIED = f"{_API}/mlflow-artifacts/artifacts"


class Download:
    """Reads artifacts of one tracking server. Safe to share between threads.

    Args:
        tracking: Where the server is and the credentials for it.
        timeout: Seconds without a byte after which a download is given up.
    """

    def __init__(self, tracking: TrackingRef, timeout: float = 30.0) -> None:
        self._ref = tracking
        auth = (tracking.username, tracking.password.get_secret_value()) if tracking.username else None
        self._http = httpx.Client(
            base_url=tracking.url.rstrip("/"), auth=auth, timeout=timeout, trust_env=False
        )

    def model(self, version: ModelVersion, folder: Path) -> None:
        """The logged model of a version, into a new folder.

        Raises:
            Problem: The server is down, refuses, or has no files of it.
        """
        where = f"{version.name} version {version.version}"
        said = {"name": version.name, "version": version.version}
        uri = str(self._json("/mlflow/model-versions/get-download-uri", where, said).get("artifact_uri", ""))
        folder.mkdir(parents=True)
        if urlsplit(uri).scheme == "mlflow-artifacts":
            # The host in it is not followed: our credentials go to our server only.
            root = urlsplit(uri).path.removeprefix(_PROXIED).strip("/")
            found = self._folder(root, "", folder, where)
        else:
            found = _through_mlflow(self._ref, version, folder, where)
        if not found:
            raise Problem("the tracking server has no files of it", where=where)

    def artifact(self, run_id: str, path: str) -> bytes:
        """One artifact of a run.

        Raises:
            Problem: The server is down, refuses or does not have it.
        """
        response = self._ask("/get-artifact", f"artifact {path}", {"run_id": run_id, "path": path})
        return response.content

    def _folder(self, root: str, path: str, into: Path, where: str) -> int:
        params = {"path": posixpath.join(root, path).rstrip("/")}
        count = 0
        for each in self._json("/mlflow-artifacts/artifacts", where, params).get("files", ()):
            name = posixpath.basename(str(each["path"]).rstrip("/"))
            if name in ("", ".", ".."):
                raise Problem(f"the tracking server lists a file {each['path']!r}", where=where)
            inner = posixpath.join(path, name)
            if each.get("is_dir"):
                count += self._folder(root, inner, into, where)
            else:
                self._file(posixpath.join(root, inner), into / inner, where)
                count += 1
        return count

    def _file(self, path: str, into: Path, where: str) -> None:
        into.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._http.stream("GET", f"{_PROXIED}/{quote(path)}") as response, into.open("wb") as file:
                if not response.is_success:
                    response.read()
                    raise _refused(response, where)
                for chunk in response.iter_bytes(1 << 20):
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
        except httpx.TransportError as error:
            raise self._down(error) from error

    def _json(self, path: str, where: str, params: dict[str, str]) -> dict[str, Any]:
        try:
            data: dict[str, Any] = self._ask(_API + path, where, params).json()
        except ValueError:
            raise Problem(
                "what answers here does not speak MLflow's interface", where=self._ref.url
            ) from None
        return data

    def _ask(self, path: str, where: str, params: dict[str, str]) -> httpx.Response:
        try:
            response = self._http.get(path, params=params)
        except httpx.TransportError as error:
            raise self._down(error) from error
        if not response.is_success:
            raise _refused(response, where)
        return response

    def _down(self, error: httpx.TransportError) -> Problem:
        slow = isinstance(error, httpx.TimeoutException)
        return Problem(
            f"the tracking server does not answer{' in time' if slow else ''}",
            where=self._ref.url,
            todo="modelyard status; modelyard logs tracking",
            code=ExitCode.RETRY,
        )


def _refused(response: httpx.Response, where: str) -> Problem:
    try:
        message = str(response.json().get("message", ""))
    except (ValueError, AttributeError):
        message = ""
    code = ExitCode.RETRY if response.status_code >= 500 else ExitCode.FAILED
    text = message.splitlines()[0][:200] if message else f"answer {response.status_code}"
    return Problem(f"its files cannot be fetched: {text}", where=where, code=code)


def _through_mlflow(ref: TrackingRef, version: ModelVersion, folder: Path, where: str) -> int:
    """Artifacts that the server does not hand out itself, with the storage's own client."""
    import mlflow.artifacts

    os.environ["MLFLOW_TRACKING_USERNAME"] = ref.username
    os.environ["MLFLOW_TRACKING_PASSWORD"] = ref.password.get_secret_value()
    uri = f"models:/{version.name}/{version.version}"
    try:
        mlflow.artifacts.download_artifacts(
            artifact_uri=uri, dst_path=str(folder), tracking_uri=ref.url, registry_uri=ref.url
        )
    except Exception as error:
        text = (str(error).splitlines() or [""])[0][:200]
        raise Problem(f"its files cannot be fetched: {text}", where=where, code=ExitCode.RETRY) from error
    return sum(1 for each in folder.rglob("*") if each.is_file())
