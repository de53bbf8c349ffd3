"""Every answer is one typed key: read, set, list and validate EnvironmentSpec by dotted key."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from blueprints.errors import UsageProblem
from blueprints.spec import EnvironmentSpec, Section, settings_of


class UnknownKey(UsageProblem):
    """A key that this release does not know: a slip, or one of a newer release."""


@dataclass(frozen=True)
class Key:
    """One leaf of the spec.

    Attributes:
        path: Dotted path, ``serving.replicas``.
        meaning: One sentence for people.
        default: The value a fresh EnvironmentSpec has.
        choices: The allowed words, when the key is a choice.
        bounds: Human text of the allowed range ("1 to 16"), or empty.
        type: Name of the value's type: ``text``, ``whole number``, ``number``, ``yes or no``, ``list``.
    """

    path: str
    meaning: str
    default: Any
    choices: tuple[str, ...]
    bounds: str
    type: str

    @property
    def expected(self) -> str:
        """What a valid value looks like, in words."""
        if self.choices:
            return " or ".join(self.choices)
        if self.type == "list":
            return self.bounds or "words separated by commas"
        # "number, more than 0 …" but "whole number 1 to 16": a range reads on, a comparison needs a pause.
        pause = ", " if self.bounds.startswith(("more", "less", "at")) else " "
        return f"{self.type}{pause}{self.bounds}" if self.bounds else self.type


_TYPE_NAMES = {int: "whole number", float: "number", bool: "yes or no", str: "text", tuple: "list"}


@cache
def keys(
    model: type[BaseModel] = EnvironmentSpec, prefix: str = "", *, blueprint: str = ""
) -> tuple[Key, ...]:
    """Every key of the spec, in the order a person reads them; with ``blueprint`` those of its own, too."""
    found: list[Key] = []
    # A schema takes milliseconds, and the guide asks for the keys at every stroke.
    schemas = model.model_json_schema().get("properties", {})
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if model is EnvironmentSpec and name == "extension":
            annotation = settings_of(blueprint)
        if isinstance(annotation, type) and issubclass(annotation, Section):
            found += keys(annotation, f"{prefix}{name}.")
            continue
        schema = schemas[name]
        found.append(
            Key(
                path=prefix + name,
                meaning=field.description or schema.get("description", ""),
                default=field.default,
                choices=tuple(str(choice) for choice in schema.get("enum", ())),
                bounds=_bounds(schema, annotation),
                type=_type_name(annotation),
            )
        )
    return tuple(found)


def _type_name(annotation: Any) -> str:
    if annotation in _TYPE_NAMES:
        return _TYPE_NAMES[annotation]
    if get_origin(annotation) is tuple:
        return _TYPE_NAMES[tuple]
    for argument in get_args(annotation):
        found = _type_name(argument)
        if found:
            return found
    return _TYPE_NAMES.get(type(annotation), "")


def _bounds(schema: Mapping[str, Any], annotation: Any = None) -> str:
    for argument in get_args(annotation):
        if isinstance(argument, type) and issubclass(argument, Section):
            return f"a JSON list of {{{', '.join(argument.model_fields)}}}"
    for part in (schema, *schema.get("anyOf", ())):
        low, high = part.get("minimum"), part.get("maximum")
        if low is not None and high is not None:
            return f"{low:,} to {high:,}".replace(",", " ") if high > 99_999 else f"{low} to {high}"
        words = [
            f"{word} {part[name]:g}"
            for name, word in (
                ("exclusiveMinimum", "more than"),
                ("minimum", "at least"),
                ("exclusiveMaximum", "less than"),
                ("maximum", "at most"),
            )
            if name in part
        ]
        if words:
            return " and ".join(words)
    return ""


def find(path: str, blueprint: str = "") -> Key:
    """The key at ``path``; with ``blueprint`` those of its own count, too.

    Raises:
        UsageProblem: There is none; names the nearest keys that there are.
    """
    known = {key.path: key for key in keys(blueprint=blueprint)}
    if path in known:
        return known[path]
    inside = [key for key in known if key.startswith(f"{path}.")]
    if inside:
        raise UsageProblem(
            f"{path!r} is a section, not a key",
            where="modelyard:spec",
            expected="one of " + ", ".join(inside),
        )
    near = _nearest(path, list(known))
    raise UnknownKey(
        f"unknown key {path!r}",
        where="modelyard:spec",
        expected=("a key such as " if near else "a key of the spec, such as ")
        + ", ".join(near or ["serving.replicas", "database.kind"]),
        todo=f"did you mean {near[0]}?" if near else "modelyard init --help lists every key",
    )


def _nearest(path: str, known: Sequence[str], count: int = 3) -> list[str]:
    """The known keys closest to ``path``: by the whole path, then by its last word in any section."""
    near = difflib.get_close_matches(path, known, n=count, cutoff=0.6)
    leaf = path.rsplit(".", 1)[-1]
    leaves = [
        key for key in known if difflib.SequenceMatcher(None, leaf, key.rsplit(".", 1)[-1]).ratio() > 0.7
    ]
    section = [key for key in known if "." in path and key.startswith(path.split(".", 1)[0] + ".")]
    return list(dict.fromkeys([*near, *leaves, *section]))[:count]


def parse(text: str) -> Any:
    """A value as typed on the command line: JSON where it is JSON, yes/no/on/off, otherwise text."""
    lowered = text.strip().lower()
    words = {"yes": True, "on": True, "no": False, "off": False, "true": True, "false": False, "": None}
    if lowered in words:
        return words[lowered]
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def assign(spec: EnvironmentSpec, assignments: Sequence[str]) -> EnvironmentSpec:
    """``spec`` with every ``key=value`` of ``assignments`` applied and validated together.

    Raises:
        UsageProblem: An assignment has no ``=``, names an unknown key or has a value that does not fit.
    """
    data = spec.model_dump(mode="json")
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise UsageProblem(
                f"cannot read {assignment!r}", where="--set", expected="KEY=VALUE", todo="serving.replicas=2"
            )
        key = find(path.strip(), spec.blueprint)
        target = data
        *parents, leaf = key.path.split(".")
        for parent in parents:
            target = target[parent]
        target[leaf] = _read(key, text)
    return validate(data)


def _read(key: Key, text: str) -> Any:
    """``text`` as a value of ``key``: words stay words, a list is JSON or separated by commas."""
    if key.type == "text":
        return text.strip()
    if key.type in ("whole number", "number") and text.strip().lower() in ("yes", "no", "on", "off"):
        # Pydantic would take yes as 1.
        return text.strip()
    if key.type != "list":
        return parse(text)
    if text.strip().startswith("["):
        return parse(text)
    return [word.strip() for word in text.split(",") if word.strip()]


def validate(data: Mapping[str, Any], where: str = "modelyard:spec") -> EnvironmentSpec:
    """The spec that ``data`` describes.

    Raises:
        UsageProblem: With the dotted key, what was expected and, for an unknown key, the nearest known one.
    """
    try:
        return EnvironmentSpec.model_validate(data)
    except ValidationError as error:
        blueprint = data.get("blueprint", "") if isinstance(data, Mapping) else ""
        raise _explained(error, where, blueprint if isinstance(blueprint, str) else "") from None


def problem_with(path: str, text: str, spec: EnvironmentSpec) -> str:
    """Why ``text`` is no valid value of the key ``path``; empty: it is one. For validation as one types."""
    try:
        assign(spec, [f"{path}={text}"])
    except UsageProblem as problem:
        return f"{problem.what}" + (f"; expected {problem.expected}" if problem.expected else "")
    return ""


def differences(before: EnvironmentSpec, after: EnvironmentSpec) -> list[tuple[str, Any, Any]]:
    """``(path, before, after)`` of every key that differs."""
    found = []
    for key in keys(blueprint=after.blueprint):
        old, new = (value_at(spec, key.path, key.default) for spec in (before, after))
        if old != new:
            found.append((key.path, old, new))
    return found


def value_at(spec: EnvironmentSpec, path: str, default: Any = None) -> Any:
    """The value of the key at ``path``; ``default`` where the spec's blueprint has no such key."""
    value: Any = spec
    for name in path.split("."):
        value = getattr(value, name, default)
    return value


def _explained(error: ValidationError, where: str, blueprint: str) -> UsageProblem:
    first = error.errors()[0]
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        try:
            find(path, blueprint)
        except UsageProblem as problem:
            return type(problem)(problem.what, where=where, expected=problem.expected, todo=problem.todo)
    known = {key.path: key for key in keys(blueprint=blueprint)}
    parts = path.split(".")
    above = [".".join(parts[:depth]) for depth in range(len(parts), 0, -1)]
    key = next((known[p] for p in above if p in known), None)
    return UsageProblem(
        _fault(first["type"], first["msg"], first["input"]),
        where=f"{where} {path}".strip() if path else where,
        expected=_expected(first, key),
    )


#: What is wrong with a value, by pydantic's name of the fault; ``{}`` is the value.
_FAULTS = {
    "int_parsing": "{} is no whole number",
    "int_type": "{} is no whole number",
    "int_from_float": "{} is no whole number",
    "float_parsing": "{} is no number",
    "float_type": "{} is no number",
    "finite_number": "{} is no finite number",
    "bool_parsing": "{} is neither yes nor no",
    "bool_type": "{} is neither yes nor no",
    "string_type": "{} is no text",
    "tuple_type": "{} is no list",
    "literal_error": "{} is not a choice",
    "greater_than": "{} is too small",
    "greater_than_equal": "{} is too small",
    "less_than": "{} is too large",
    "less_than_equal": "{} is too large",
    "model_type": "{} is no section with keys of its own",
}


def _fault(kind: str, message: str, value: Any) -> str:
    if kind in _FAULTS:
        return _FAULTS[kind].format(_shown(value))
    what = message.removeprefix("Value error, ")
    # A validator of ours starts with a key's own spelling or a verb: both stay as they are written.
    whole = isinstance(value, Mapping | BaseModel)
    return what if whole else f"{_shown(value)}: {what[:1].lower()}{what[1:]}"


def _shown(value: Any) -> str:
    """A value as the person typed it, short enough for one line."""
    words = {True: "yes", False: "no", None: "an empty value"}
    text = words[value] if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _expected(fault: Any, key: Key | None) -> str:
    if fault["type"] == "literal_error" and key is not None and not key.choices:
        return "no" if key.default is False else "yes"
    if key is None:
        return "KEY: VALUE pairs" if fault["type"] == "model_type" else ""
    return key.expected
