"""Secrets: never in a command line, never in plain configuration.

A finding names the place and never repeats the value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from stacks.policy.rule import Example, Resource, Rule, Setting, StackRule, example
from stacks.policy.workloads import CONTAINERS, SERVICE, TASK, WORKLOADS, containers

_CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
_LAMBDA = "aws:lambda/function:Function"
_SECRET = "modelyard:local:Secret"
#: Type -> property that holds a secret in clear.
_HOLDERS = {
    _SECRET: "value",
    "random:index/randomPassword:RandomPassword": "result",
    "aws:secretsmanager/secretVersion:SecretVersion": "secretString",
    "aws:rds/instance:Instance": "password",
    "aws:rds/cluster:Cluster": "masterPassword",
    "tls:index/privateKey:PrivateKey": "privateKeyPem",
}
_SHORTEST = 8

_WORDS = r"pass(?:word|wd|phrase)|secret|token|api[-_]?key|access[-_]?key|private[-_]?key|credentials?"
#: A name that says secret, unless it ends by saying that it only points to one.
_NAME = re.compile(rf"(?i)(?:{_WORDS})(?!.*(?:[-_](?:file|path|dir|name|arn|id|url|uri|ref|ttl|type))$)")
_ACCESS_KEY_ID = re.compile(r"(?i)access[-_]?key[-_]?id$")
_FLAG = re.compile(r"^--?([\w.-]+)(?:=(.*))?$", re.DOTALL)
#: A URL with a password, a key id of AWS, a private key, tokens of GitHub and Slack.
_SHAPES = re.compile(
    r"[a-z][a-z0-9+.-]*://[^/\s:@]+:(?![$*{])[^/\s@]+@|\bAKIA[0-9A-Z]{16}\b"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY|\bgh[pousr]_[A-Za-z0-9]{36}|\bxox[abp]-[0-9A-Za-z-]{10}"
)


def _says_secret(name: str) -> bool:
    return bool(_NAME.search(name)) and not _ACCESS_KEY_ID.search(name)


def _literal(value: str | None) -> bool:
    """Whether ``value`` is a value and no reference to one (``$NAME``, ``$(NAME)``, ``/run/secrets/…``)."""
    return bool(value) and not str(value).startswith(("$", "/", "@", "file:", "{{"))


class NoSecretInArguments(Rule):
    """No command line carries a secret."""

    id = "no-secret-in-argv"
    what = "No command line carries a secret."
    why = "Every user of a machine reads its command lines (ps); pods and task definitions show them."
    fix = "Hand it over in an environment variable that refers to a secret (valueFrom), or in a private file."
    types = WORKLOADS
    fails = example(SERVICE, argv=["server", "--password=hunter2hunter2"])
    passes = example(SERVICE, argv=["server", "--password-file=/run/secrets/db"], env={"PASSWORD": "x"})

    def check(self, resource: Resource, setting: Setting) -> Iterator[str]:
        for container in containers(resource):
            words = [word for text in container.argv for word in text.split()]
            following = [*words[1:], ""]
            for word, after in zip(words, following, strict=False):
                flag = _FLAG.match(word)
                value = flag[2] if flag and flag[2] is not None else after
                if flag and _says_secret(flag[1]) and _literal(value) and not value.startswith("-"):
                    yield f"container {container.name}: the value of --{flag[1]}"
            if any(_SHAPES.search(text) for text in container.argv):
                yield f"container {container.name}: an argument that looks like a credential"


class NoSecretInConfiguration(Rule):
    """No plain configuration carries a secret."""

    id = "no-secret-in-plain-config"
    what = "No environment variable, ConfigMap or task definition carries a secret in clear."
    why = "Task definitions, pod specs and ConfigMaps are readable by everyone who may look at the cluster."
    fix = (
        "ECS: secrets with valueFrom; Kubernetes: env with valueFrom.secretKeyRef; a Secret, not a ConfigMap."
    )
    types = CONTAINERS | {_CONFIG_MAP, _LAMBDA}
    fails = example(
        TASK, containerDefinitions='[{"name": "it", "environment": [{"name": "DB_PASSWORD", "value": "x"}]}]'
    )
    passes = example(
        TASK,
        containerDefinitions='[{"name": "it", "secrets": [{"name": "DB_PASSWORD", "valueFrom": "arn"}]}]',
    )

    def check(self, resource: Resource, setting: Setting) -> Iterator[str]:
        for place, values in _plain(resource):
            for key, value in values.items():
                if (_says_secret(key) and _literal(value)) or _SHAPES.search(value):
                    yield f"{place}{key}"


def _plain(resource: Resource) -> Iterator[tuple[str, dict[str, str]]]:
    """``(place, values)`` of all configuration in clear. Our own services keep theirs encrypted."""
    if resource.type in (_CONFIG_MAP, _LAMBDA):
        found = resource.get("data" if resource.type == _CONFIG_MAP else "environment.variables")
        if isinstance(found, dict):
            yield "", {str(key): value for key, value in found.items() if isinstance(value, str)}
    elif resource.type in CONTAINERS:
        for container in containers(resource):
            yield f"container {container.name}: ", dict(container.env)


class NoSecretValueShown(StackRule):
    """No value of a known secret stands in clear anywhere in the stack."""

    id = "no-secret-value-shown"
    what = "The value of a secret of this stack stands in no command line and no plain configuration of it."
    why = "Whatever the argument is called, what it holds is the secret."
    fix = "Hand the secret over by reference: an encrypted env of our services, valueFrom elsewhere."
    types = WORKLOADS | {_CONFIG_MAP, _LAMBDA}
    fails = Example(
        (
            Resource(_SECRET, "admin", {"value": "correct-horse"}),
            Resource(SERVICE, "it", {"argv": ["server", "--opts", "x:correct-horse"]}),
        )
    )
    passes = Example(
        (
            Resource(_SECRET, "admin", {"value": "correct-horse"}),
            Resource(SERVICE, "it", {"argv": ["server"], "env": {"ADMIN": "correct-horse"}}),
        )
    )

    def findings(self, resources: Sequence[Resource], setting: Setting) -> Iterator[tuple[Resource, str]]:
        known = {each.name: each.get(_HOLDERS[each.type]) for each in resources if each.type in _HOLDERS}
        secrets = {
            name: value for name, value in known.items() if isinstance(value, str) and len(value) >= _SHORTEST
        }
        for resource in resources:
            if resource.type not in self.types:
                continue
            texts = [word for container in containers(resource) for word in container.argv]
            texts += [value for _, values in _plain(resource) for value in values.values()]
            for name, value in secrets.items():
                if any(value in text for text in texts):
                    yield resource, f"the value of {name}"


RULES: tuple[Rule, ...] = (NoSecretInArguments(), NoSecretInConfiguration(), NoSecretValueShown())
