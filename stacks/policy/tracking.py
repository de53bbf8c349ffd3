"""The MLflow server: accounts, and the middleware that stands between it and a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from stacks.policy.rule import Example, Resource, Rule, Setting, example
from stacks.policy.workloads import SERVICE, WORKLOADS, Container, containers, mlflow_server, option

_FILE = "modelyard:local:File"
_CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
_SECRET = "kubernetes:core/v1:Secret"
_HOSTS = "localhost,127.0.0.1,localhost:5000,127.0.0.1:5000"
_PERMISSION = re.compile(r"(?m)^\s*default_permission\s*=\s*(\w+)")


def _server(*words: str, **env: str) -> Example:
    props: dict[str, Any] = {"argv": ["python", "-m", "mlflow", "server", *words], "env": env}
    return Example((Resource(SERVICE, "it", props),))


def _servers(resource: Resource) -> Iterator[tuple[Container, list[str]]]:
    for container in containers(resource):
        words = mlflow_server(container)
        if words is not None:
            yield container, words


class SecurityMiddleware(Rule):
    """The security middleware of MLflow is on."""

    id = "mlflow-security-middleware"
    what = "The security middleware of the MLflow server is on."
    why = "Without it any web page that a member of the team opens can call the server (DNS rebinding, CSRF)."
    fix = "Take --disable-security-middleware away; name hosts with --allowed-hosts instead."
    types = WORKLOADS
    fails = _server(f"--allowed-hosts={_HOSTS}", "--disable-security-middleware")
    passes = _server(f"--allowed-hosts={_HOSTS}")

    def check(self, resource: Resource, setting: Setting) -> Iterator[str]:
        for container, words in _servers(resource):
            if "--disable-security-middleware" in words:
                yield "--disable-security-middleware"
            if container.env.get("MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE", "").lower() in ("1", "true"):
                yield "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE is true"


class AllowedHosts(Rule):
    """The server names every host that clients use, as they write it."""

    id = "mlflow-allowed-hosts"
    what = "The MLflow server names every host its clients use, plain and with its port, and no bare *."
    why = (
        "The list is compared as text: a host or port left out is refused with 403; * admits every web page."
    )
    fix = "List each host twice, name and name:port; tracking.allowed_hosts of the spec does both."
    types = WORKLOADS
    fails = _server("--allowed-hosts=models.example")
    passes = _server(f"--allowed-hosts={_HOSTS}")

    def check(self, resource: Resource, setting: Setting) -> Iterator[str]:
        for container, words in _servers(resource):
            text = option(words, "allowed-hosts") or container.env.get("MLFLOW_SERVER_ALLOWED_HOSTS", "")
            hosts = {host.strip() for host in text.split(",") if host.strip()}
            wanted = set(setting.allowed_hosts)
            if resource.type == SERVICE:
                wanted |= {"localhost", "127.0.0.1"}
            if not hosts:
                yield "no allowed hosts are named"
            elif "*" in hosts:
                yield "allowed hosts contain *"
            else:
                yield from _incomplete(hosts, wanted)


def _incomplete(hosts: set[str], wanted: set[str]) -> Iterator[str]:
    missing = sorted(wanted - hosts)
    if missing:
        yield f"not among the allowed hosts: {', '.join(missing)}"
    with_port = {host.rpartition(":")[0] for host in hosts if re.search(r":(\d+|\*)$", host)}
    plain = {host for host in hosts if not re.search(r":(\d+|\*)$", host) and "*" not in host}
    bare = sorted(plain - with_port)
    if bare:
        yield f"without their port: {', '.join(bare)}"


class CorsOrigins(Rule):
    """Cross-origin requests come from named origins."""

    id = "mlflow-cors-origins"
    what = "The MLflow server takes cross-origin requests from named origins only."
    why = "With *, any page a member of the team opens may change runs and models with their credentials."
    fix = "Name the public URL in --cors-allowed-origins, or leave it out."
    types = WORKLOADS
    fails = _server("--cors-allowed-origins=*")
    passes = _server("--cors-allowed-origins=https://mlflow.example")

    def check(self, resource: Resource, setting: Setting) -> Iterator[str]:
        for container, words in _servers(resource):
            found = option(words, "cors-allowed-origins")
            text = found or container.env.get("MLFLOW_SERVER_CORS_ALLOWED_ORIGINS", "")
            if "*" in [origin.strip() for origin in text.split(",")]:
                yield "allowed origins contain *"


class Accounts(Rule):
    """The server asks who is there."""

    id = "mlflow-accounts"
    what = "The MLflow server runs with accounts (--app-name basic-auth, or another authenticating app)."
    why = "Without accounts everyone who reaches the port may delete experiments and replace the champion."
    fix = "Add --app-name basic-auth and its configuration file."
    types = WORKLOADS
    fails = _server("--host=127.0.0.1")
    passes = _server("--app-name=basic-auth", "--host=127.0.0.1")

    def check(self, resource: Resource, setting: Setting) -> Iterator[str]:
        for _, words in _servers(resource):
            if not option(words, "app-name"):
                yield "no --app-name"


class NoDefaultPermission(Rule):
    """A new account may do nothing until it is given something."""

    id = "mlflow-default-permission"
    what = "The MLflow accounts file gives a new account no permission by default."
    why = "MLflow ships READ: every account then reads every experiment and model of every team."
    fix = "Set default_permission = NO_PERMISSIONS and grant by role."
    types = frozenset({_FILE, _CONFIG_MAP, _SECRET})
    fails = example(_FILE, name="basic_auth.ini", text="[mlflow]\ndefault_permission = READ\n")
    passes = example(_FILE, name="basic_auth.ini", text="[mlflow]\ndefault_permission = NO_PERMISSIONS\n")

    def check(self, resource: Resource, setting: Setting) -> Iterator[str]:
        texts: list[Any] = [resource.get("text")]
        for key in ("data", "stringData"):
            found = resource.get(key)
            texts += list(found.values()) if isinstance(found, dict) else []
        for text in texts:
            if isinstance(text, str) and "[mlflow]" in text:
                found = _PERMISSION.search(text)
                if found is None or found[1] != "NO_PERMISSIONS":
                    yield f"default_permission is {found[1] if found else 'not set'}"


RULES: tuple[Rule, ...] = (
    SecurityMiddleware(),
    AllowedHosts(),
    CorsOrigins(),
    Accounts(),
    NoDefaultPermission(),
)
