"""From a template to the text of a file: values in ``@@name@@``, blocks in comments, nothing else.

A block starts with a line ``# <word>`` and ends with ``# </word>`` (``//`` in a Jenkinsfile). ``each``
repeats for every environment; any other word is a fact that keeps the block, ``not-WORD`` one that drops it.
Inside ``each`` the facts of that environment count, outside those of the whole project.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

_MARK = re.compile(r"\s*(?:#|//) <(?P<end>/?)(?P<word>[a-z-]+)>\s*")
_VALUE = re.compile(r"@@([a-z]+)@@")


@dataclass(frozen=True)
class Scope:
    """What a template may name.

    Attributes:
        values: For ``@@name@@``.
        facts: Words whose blocks stay.
        each: One scope per environment; its values come before these.
    """

    values: Mapping[str, str]
    facts: Set[str] = frozenset()
    each: Sequence[Scope] = field(default=())


def render(template: str, scope: Scope) -> str:
    """The finished text.

    Raises:
        ValueError: A block has no end, or a value no name: the template is wrong.
    """
    return "".join(_lines(template.splitlines(keepends=True), scope))


def _lines(lines: Sequence[str], scope: Scope) -> list[str]:
    done: list[str] = []
    at = 0
    while at < len(lines):
        match = _MARK.fullmatch(lines[at])
        if match is None:
            done.append(_VALUE.sub(lambda found: _value(scope, found[1]), lines[at]))
            at += 1
            continue
        end = _end(lines, at, match["word"])
        inside = lines[at + 1 : end]
        if match["word"] == "each":
            for one in scope.each:
                values = {**scope.values, **one.values}
                done += _lines(inside, Scope(values, one.facts))
        elif (match["word"].removeprefix("not-") in scope.facts) != match["word"].startswith("not-"):
            done += _lines(inside, scope)
        at = end + 1
    return done


def _end(lines: Sequence[str], start: int, word: str) -> int:
    for at in range(start + 1, len(lines)):
        match = _MARK.fullmatch(lines[at])
        if match and match["end"] and match["word"] == word:
            return at
    raise ValueError(f"the block <{word}> in line {start + 1} has no end")


def _value(scope: Scope, name: str) -> str:
    if name not in scope.values:
        raise ValueError(f"nothing is called @@{name}@@")
    return scope.values[name]
