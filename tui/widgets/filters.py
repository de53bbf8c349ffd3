"""The filter language of every list: words, ``!word``, and conditions such as ``metrics.auc>0.9``."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Generic, TypeVar

Row = TypeVar("Row")
_CONDITION = re.compile(r"^(?P<not>!?)(?P<field>[A-Za-z_][\w.\-]*)(?P<how>>=|<=|!=|=|>|<|~)(?P<value>.+)$")


class Filter(Generic[Row]):
    """A predicate made of text; parts are joined by *and*.

    Args:
        text: What the user typed. A word matches anywhere in the row, ``!word`` nowhere; ``field=value``,
            ``!=``, ``<``, ``<=``, ``>``, ``>=`` compare (numbers as numbers), ``~`` is a regular expression.
            A value that is not a number never satisfies ``<`` or ``>`` against one.
        words: The text of a row that words are looked for in.
        field: The value of a row's field, None when it has no such.
    """

    def __init__(self, text: str, words: Callable[[Row], str], field: Callable[[Row, str], object]) -> None:
        self.text = text.strip()
        self._words, self._field = words, field
        self._tests = [self._test(part) for part in self.text.split()]

    def __call__(self, row: Row) -> bool:
        return all(test(row) for test in self._tests)

    def _test(self, part: str) -> Callable[[Row], bool]:
        found = _CONDITION.match(part)
        if found:
            name, how, value = found["field"], found["how"], found["value"]
            negative = bool(found["not"])
            return lambda row: compare(self._field(row, name), how, value) is not negative
        if part.startswith("!") and len(part) > 1:
            return lambda row: part[1:].lower() not in self._words(row).lower()
        return lambda row: part.lower() in self._words(row).lower()


def compare(found: object, how: str, wanted: str) -> bool:
    """Whether ``found how wanted`` holds; an unknown value (None) only satisfies ``!=``."""
    if found is None:
        return how == "!="
    if how == "~":
        try:
            return re.search(wanted, str(found), re.IGNORECASE) is not None
        except re.error:
            return wanted in str(found)
    try:
        left, right = float(str(found)), float(wanted)
    except ValueError:
        equal = str(found).lower() == wanted.lower()
        return equal if how == "=" else not equal if how == "!=" else False
    return {
        "=": left == right,
        "!=": left != right,
        ">": left > right,
        ">=": left >= right,
        "<": left < right,
        "<=": left <= right,
    }[how]
