"""Which commit a tag of an action is, and which digest a tag of an image is: asked, never guessed."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Iterable
from typing import TYPE_CHECKING

from blueprints.errors import ExitCode, Problem
from stacks.ci.references import Reference

if TYPE_CHECKING:
    import httpx

#: Indexes before single manifests: a pinned image stays good for every architecture it was built for.
_MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_SECONDS = 30


class Unresolved(Exception):  # noqa: N818 - collected into one Problem, never seen as it is
    """Why one reference has no digest."""


def resolve(wanted: Iterable[Reference]) -> dict[Reference, str]:
    """The digest of every reference.

    Raises:
        Problem: At least one has none; names each with its reason. Exit code 3: it may work later.
    """
    wanted = tuple(dict.fromkeys(wanted))
    found: dict[Reference, str] = {}
    reasons: list[str] = []
    for reference in wanted:
        try:
            found[reference] = (_commit if reference.kind == "action" else _image_digest)(reference)
        except Unresolved as unresolved:
            reasons.append(f"{reference} ({unresolved})")
    if reasons:
        raise Problem(
            f"{len(reasons)} of {len(wanted)} cannot be resolved, so nothing was written: "
            + "; ".join(reasons),
            where="pin",
            expected="a digest from the source of each; one is never invented",
            todo="correct a tag that does not exist; else run modelyard pin where the network reaches them",
            code=ExitCode.RETRY,
        )
    return found


def _commit(reference: Reference) -> str:
    """The commit of a tag, through an annotated tag (git lists it peeled, as ``tag^{}``)."""
    repository = "/".join(reference.name.split("/")[:2])
    server = os.environ.get("GITHUB_SERVER_URL") or "https://github.com"
    tag = f"refs/tags/{reference.tag}"
    quiet = {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", "ls-remote", "--", f"{server}/{repository}", tag, f"{tag}^{{}}"],
            env={**os.environ, **quiet},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
    except FileNotFoundError:
        raise Unresolved("git is not installed") from None
    except subprocess.TimeoutExpired:
        raise Unresolved(f"no answer in {_SECONDS} s") from None
    if done.returncode:
        words = [line for line in done.stderr.splitlines() if line.startswith(("fatal:", "error:", "ERROR:"))]
        raise Unresolved((words or ["git failed"])[0].split(": ", 1)[-1])
    named = {name: commit for commit, _, name in (line.partition("\t") for line in done.stdout.splitlines())}
    commit = named.get(f"{tag}^{{}}") or named.get(tag, "")
    if not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise Unresolved(f"has no tag {reference.tag}")
    return commit


def _image_digest(reference: Reference) -> str:
    """The digest of a manifest by the registry's HTTP API v2, with an anonymous token where one is wanted."""
    import httpx

    host, path = _place(reference.name)
    local = host.split(":")[0] in ("localhost", "127.0.0.1")
    url = f"{'http' if local else 'https'}://{host}/v2/{path}/manifests/{reference.tag}"
    try:
        with httpx.Client(timeout=_SECONDS, follow_redirects=True, headers={"Accept": _MANIFESTS}) as client:
            answer = client.head(url)
            if answer.status_code == 401:
                client.headers["Authorization"] = f"Bearer {_token(client, answer)}"
                answer = client.head(url)
            if answer.is_success and "Docker-Content-Digest" not in answer.headers:
                # The digest of a manifest is the hash of its bytes: where none is told, they are fetched.
                answer = client.get(url)
                return _checked(f"sha256:{hashlib.sha256(answer.content).hexdigest()}", answer)
    except httpx.HTTPError as error:
        raise Unresolved(f"{host} does not answer: {error or type(error).__name__}") from None
    return _checked(answer.headers.get("Docker-Content-Digest", ""), answer)


def _checked(digest: str, answer: httpx.Response) -> str:
    if answer.status_code == 404:
        raise Unresolved("the registry has no such image or tag")
    if answer.status_code in (401, 403):
        raise Unresolved("the registry does not show it without an account")
    if not answer.is_success:
        raise Unresolved(f"the registry answers {answer.status_code}")
    if not _DIGEST.fullmatch(digest):
        raise Unresolved(f"the registry's digest is not one: {digest[:80]!r}")
    return digest


def _token(client: httpx.Client, challenge: httpx.Response) -> str:
    """The anonymous token a ``WWW-Authenticate: Bearer`` challenge asks to fetch."""
    asked = challenge.headers.get("WWW-Authenticate", "")
    parts = dict(re.findall(r'(\w+)="([^"]*)"', asked))
    if not asked.lower().startswith("bearer ") or "realm" not in parts:
        raise Unresolved("the registry does not show it without an account")
    answer = client.get(parts.pop("realm"), params=parts)
    try:
        data = answer.json() if answer.is_success else {}
    except ValueError:
        data = {}
    token = data.get("token") or data.get("access_token") if isinstance(data, dict) else None
    if not isinstance(token, str) or not token:
        raise Unresolved("the registry gives no anonymous token")
    return token


def _place(name: str) -> tuple[str, str]:
    """Host and path of an image name: a first part with a dot, a port or ``localhost`` is the host."""
    first, _, rest = name.partition("/")
    if rest and ("." in first or ":" in first or first == "localhost"):
        host, path = first, rest
    else:
        host, path = "docker.io", name
    if host == "docker.io":
        # The name everyone writes is not the host that answers, and its own images live under library/.
        return "registry-1.docker.io", path if "/" in path else f"library/{path}"
    return host, path
