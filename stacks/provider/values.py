"""Between Pulumi's property values and plain Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from pulumi.provider.experimental.property_value import Computed, PropertyValue
from pulumi.runtime.rpc import UNKNOWN as UNKNOWN_MARK

Plain: TypeAlias = dict[str, Any]


class Unknown:
    """A value that a preview cannot know yet."""

    def __repr__(self) -> str:
        return "known after apply"


UNKNOWN = Unknown()


def plain(properties: Mapping[str, PropertyValue]) -> Plain:
    """Properties as plain data; unknown values become :data:`UNKNOWN`."""
    return {key: _plain(value) for key, value in properties.items()}


def _plain(value: PropertyValue) -> Any:
    inner = value.value
    if isinstance(inner, Computed) or inner == UNKNOWN_MARK:
        return UNKNOWN
    if isinstance(inner, Mapping):
        return {key: _plain(item) for key, item in inner.items()}
    if isinstance(inner, Sequence) and not isinstance(inner, str):
        return [_plain(item) for item in inner]
    if isinstance(inner, float) and inner.is_integer():
        return int(inner)
    return inner


def wrapped(values: Plain, secret: Iterable[str] = ()) -> dict[str, PropertyValue]:
    """Plain data as properties; those named in ``secret`` are encrypted in the state."""
    hidden = set(secret)
    return {key: _wrapped(value, key in hidden) for key, value in values.items()}


def _wrapped(value: Any, secret: bool = False) -> PropertyValue:
    if value is UNKNOWN:
        # The SDK cannot write Computed (3.272), so the engine's own mark goes over the wire.
        return PropertyValue(UNKNOWN_MARK, is_secret=secret)
    if isinstance(value, Mapping):
        return PropertyValue({key: _wrapped(item) for key, item in value.items()}, is_secret=secret)
    if isinstance(value, list | tuple):
        return PropertyValue([_wrapped(item) for item in value], is_secret=secret)
    if isinstance(value, int) and not isinstance(value, bool):
        return PropertyValue(float(value), is_secret=secret)
    return PropertyValue(value, is_secret=secret)


def secret_keys(properties: Mapping[str, PropertyValue]) -> set[str]:
    """Names of the properties that are, or hold, a secret."""
    return {key for key, value in properties.items() if _holds_secret(value)}


def _holds_secret(value: PropertyValue) -> bool:
    inner = value.value
    if value.is_secret:
        return True
    if isinstance(inner, Mapping):
        return any(_holds_secret(item) for item in inner.values())
    if isinstance(inner, Sequence) and not isinstance(inner, str):
        return any(_holds_secret(item) for item in inner)
    return False


def is_known(value: Any) -> bool:
    """Whether nothing in ``value`` is unknown."""
    if value is UNKNOWN:
        return False
    if isinstance(value, Mapping):
        return all(is_known(item) for item in value.values())
    if isinstance(value, list | tuple):
        return all(is_known(item) for item in value)
    return True
