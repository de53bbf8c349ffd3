"""From Pulumi's URNs, type tokens and property values to the words people see."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from blueprints.layers import Layer
from stacks.local.kinds import layer_token

_COMPONENTS = {layer_token(layer.value): layer for layer in Layer}
#: Pulumi marks a secret in JSON with this key.
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"
MASK = "[secret]"
STACK = "pulumi:pulumi:Stack"
#: In a preview Pulumi puts this in the place of what another resource has yet to tell.
_UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
NOT_YET = "[known once it is up]"
#: Property names that are never shown, even when a provider forgot to mark them.
_NEVER = ("password", "secret", "token", "passphrase", "environment")


def name_of(urn: str) -> str:
    """The resource's own name: the last part of the URN."""
    return urn.rsplit("::", 1)[-1]


def named(urn: str) -> str:
    """Type and name as people say them: ``service tracking``."""
    parts = urn.split("::")
    token = parts[2].rsplit("$", 1)[-1] if len(parts) > 3 else ""
    return f"{type_of(token)} {name_of(urn)}".strip()


def type_of(token: str) -> str:
    """``modelyard:local:PostgresCluster`` -> ``postgrescluster``; layers are ``component``."""
    if token in _COMPONENTS:
        return "component"
    return token.rsplit(":", 1)[-1].lower()


def layer_of(urn: str) -> Layer | None:
    """The layer a resource belongs to: the nearest layer among the types its URN carries."""
    parts = urn.split("::")
    for token in reversed(parts[2].split("$") if len(parts) > 2 else []):
        if token in _COMPONENTS:
            return _COMPONENTS[token]
    return None


def is_plumbing(token: str) -> bool:
    """The stack itself and providers: no resource a person asked for."""
    return token == STACK or token.startswith("pulumi:providers:")


def shown(key: str, value: Any) -> str:
    """A property value as text, secrets masked."""
    if any(word in key.lower() for word in _NEVER) and value not in (None, "", [], {}):
        return MASK
    masked = _masked(value)
    return masked if isinstance(masked, str) else json.dumps(masked, sort_keys=True, ensure_ascii=False)


def is_secret(value: Mapping[str, Any]) -> bool:
    """Whether this map is how Pulumi writes a secret."""
    return bool(value.get(_SIGNATURE) == _SECRET)


def _masked(value: Any) -> Any:
    if isinstance(value, Mapping):
        if is_secret(value):
            return MASK
        return {str(key): MASK if _hidden(str(key)) else _masked(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(item) for item in value]
    return NOT_YET if value == _UNKNOWN else value


def _hidden(key: str) -> bool:
    return any(word in key.lower() for word in _NEVER)


def properties(values: Mapping[str, Any] | None) -> tuple[tuple[str, str], ...]:
    """``(property, text)`` of every property, sorted, secrets masked; Pulumi's own (``__…``) left out."""
    return tuple(
        (key, shown(key, value)) for key, value in sorted((values or {}).items()) if not key.startswith("__")
    )
