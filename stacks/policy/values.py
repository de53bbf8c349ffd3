"""Property values as the engine sends them, turned into the plain data that a rule reads."""

from __future__ import annotations

from typing import Any

from stacks.policy.rule import UNKNOWN

#: In a map of this key the engine says that the map is a secret.
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"
#: What stands for a boolean, number, text, list, asset, archive or map that is not known yet.
_NOT_YET = frozenset(
    (
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    )
)


def plain(properties: Any) -> dict[str, Any]:
    """The properties of a resource, a protobuf ``Struct``: secrets in clear, unknown values as
    :data:`~stacks.policy.rule.UNKNOWN`, whole numbers as ``int``."""
    return {key: _plain(value) for key, value in properties.fields.items()}


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return UNKNOWN if value.string_value in _NOT_YET else value.string_value
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() else number
    if kind == "list_value":
        return [_plain(each) for each in value.list_value.values]
    if kind == "struct_value":
        known = plain(value.struct_value)
        return known.get("value") if known.get(_SIGNATURE) == _SECRET else known
    return value.bool_value if kind == "bool_value" else None
