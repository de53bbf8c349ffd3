"""The price book: what one unit of something costs in a region, who says so and since when.

The packaged book is ``blueprints/prices/aws.yaml``. A project lays its own ``prices.yaml`` over it (a
contract price, another region, what ``modelyard cost update`` brought): same form, taken entry by entry and
region by region.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from blueprints.errors import UsageProblem

#: The form of the file; a book with a higher number was written for a newer Modelyard.
VERSION = 1
#: Region of prices that are the same everywhere.
GLOBAL = "global"
#: What a price may be for, and how many of the vendor's own units that is (a vendor quotes one request).
UNITS: dict[str, float] = {
    "hour": 1,
    "vCPU-hour": 1,
    "GB-hour": 1,
    "LCU-hour": 1,
    "GB-second": 1,
    "GB": 1,
    "GB-month": 1,
    "IOPS-month": 1,
    "month": 1,
    "1k requests": 1_000,
    "10k requests": 10_000,
    "100k events": 100_000,
    "100k notifications": 100_000,
    "1M requests": 1_000_000,
}
#: How a region is spelt.
REGION = re.compile(r"[a-z]{2,3}(-[a-z]+)+-\d{1,2}")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Query(_Part):
    """Where the AWS Price List API has the price: the service's offer code, filters on the product's
    attributes (``regionCode`` is added), and the usage type without its region's prefix."""

    service: str
    usage: str = ""
    filters: dict[str, str] = {}
    region_field: str = "regionCode"


class Quote(_Part):
    """Prices of some regions that come from one source.

    Attributes:
        prices: Region -> price of one unit, in the book's currency.
        source: A page, an offer code, a contract: where somebody can look it up.
        date: The day the source was read.
        approximate: Nobody has checked it against a source.
    """

    prices: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]
    source: Annotated[str, Field(min_length=1)]
    date: date
    approximate: bool = False

    @model_validator(mode="after")
    def _regions_are_regions(self) -> Quote:
        for region in self.prices:
            if region != GLOBAL and not REGION.fullmatch(region):
                raise ValueError(f"{region!r} is no region; expected one such as eu-central-1, or {GLOBAL}")
        return self


class Entry(_Part):
    """One thing that has a price. ``unit`` is one of :data:`UNITS`; a project's own file may leave it out."""

    unit: str = ""
    api: Query | None = None
    quotes: tuple[Quote, ...] = ()

    @model_validator(mode="after")
    def _unit_is_known(self) -> Entry:
        if self.unit and self.unit not in UNITS:
            raise ValueError(f"unit {self.unit!r} is not known; expected one of {', '.join(UNITS)}")
        return self


@dataclass(frozen=True)
class Price:
    """The price of one ``unit`` in one region, with its source."""

    key: str
    unit: str
    amount: float
    region: str
    source: str
    date: date
    approximate: bool


class PriceBook(_Part):
    """All entries. ``date`` is the day the book as a whole was last gone through."""

    version: Literal[1]
    currency: Literal["USD"] = "USD"
    date: date
    entries: dict[str, Entry]

    def price(self, key: str, region: str) -> Price | None:
        """What ``key`` costs in ``region``; None when the book does not have it there."""
        entry = self.entries.get(key)
        for place in (region, GLOBAL):
            # The last quote that names the region counts: overlays come after what they lie on.
            for quote in reversed(entry.quotes if entry else ()):
                if entry is not None and place in quote.prices:
                    return Price(
                        key,
                        entry.unit,
                        quote.prices[place],
                        place,
                        quote.source,
                        quote.date,
                        quote.approximate,
                    )
        return None

    def regions(self) -> tuple[str, ...]:
        """The regions the book has prices for."""
        return tuple(
            sorted(
                {
                    region
                    for entry in self.entries.values()
                    for quote in entry.quotes
                    for region in quote.prices
                    if region != GLOBAL
                }
            )
        )

    def require_region(self, region: str) -> None:
        """Raise a :class:`UsageProblem` when the book has no price at all for ``region``."""
        if region not in self.regions():
            raise UsageProblem(
                f"the price book has no prices for {region!r}",
                where="cost.region",
                expected=" or ".join(self.regions()),
                todo=f"modelyard cost update --region {region}, or a region of the book",
            )

    def overlaid(self, other: PriceBook, where: str = "prices.yaml") -> PriceBook:
        """This book with ``other`` laid over it: its prices count where it has some.

        Raises:
            UsageProblem: ``other`` gives a known entry another unit, or a new one none.
        """
        entries = dict(self.entries)
        for key, entry in other.entries.items():
            known = entries.get(key)
            unit = known.unit if known else entry.unit
            if not unit or (entry.unit and entry.unit != unit):
                raise UsageProblem(
                    f"{key} is priced by the {unit}" if known else f"{key} is new and has no unit",
                    where=f"{where} entries.{key}.unit",
                    expected=unit or f"one of {', '.join(UNITS)}",
                )
            entries[key] = Entry(
                unit=unit,
                api=entry.api or (known.api if known else None),
                quotes=(*(known.quotes if known else ()), *entry.quotes),
            )
        return self.model_copy(update={"entries": entries, "date": max(self.date, other.date)})


@cache
def packaged() -> PriceBook:
    """The book that came with this release."""
    source = files("blueprints") / "prices" / "aws.yaml"
    return parse(source.read_text(encoding="utf-8"), "blueprints/prices/aws.yaml")


def parse(text: str, where: str) -> PriceBook:
    """The book that the YAML ``text`` of the file ``where`` holds.

    Raises:
        UsageProblem: It is damaged, or written for a newer Modelyard; with the line and the key.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        data = yaml.load(text, Loader=loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise UsageProblem(
            f"the price book is damaged: {getattr(error, 'problem', None) or 'not YAML'}",
            where=f"{where}:{mark.line + 1}" if mark else where,
            expected="version, date, entries",
            todo=f"put the line right, or remove {where}: the packaged book is used then",
        ) from None
    if not isinstance(data, Mapping):
        raise UsageProblem("the price book is no map of keys", where=where, expected="version, date, entries")
    version = data.get("version")
    if isinstance(version, int) and version > VERSION:
        raise UsageProblem(
            f"the price book has version {version}, written for a newer Modelyard",
            where=f"{where}:{_line(text, ['version'])}",
            expected=f"version {VERSION}",
            todo="pip install --upgrade modelyard, or put an older file in its place",
        )
    try:
        return PriceBook.model_validate(data)
    except ValidationError as error:
        raise _explained(error, text, where) from None


def _explained(error: ValidationError, text: str, where: str) -> UsageProblem:
    """The first fault with its key and line."""
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    key = ".".join(path)
    what = {
        "greater_than_equal": f"{first['input']!r} is a negative price",
        "extra_forbidden": f"{path[-1] if path else ''!r} is no key of a price book",
        "missing": "is missing",
    }.get(first["type"], first["msg"].removeprefix("Value error, "))
    expected = {"greater_than_equal": "a price of 0 or more", "missing": "a value"}.get(first["type"], "")
    return UsageProblem(
        what[:200],
        where=f"{where}:{_line(text, path)} {key}".rstrip(),
        expected=expected,
        todo="docs/cost.md shows an entry",
    )


def _line(text: str, path: Iterable[str]) -> int:
    """The line (from 1) of the value at ``path``: of the deepest part of it that is there."""
    import yaml

    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    line: int = node.start_mark.line + 1
    for part in path:
        children = _children(node)
        if part not in children:
            break
        line, node = children[part]
    return line


def _children(node: Any) -> dict[str, tuple[int, Any]]:
    """Key -> (line of the key, value) of a YAML node."""
    if node.id == "mapping":
        return {str(key.value): (key.start_mark.line + 1, value) for key, value in node.value}
    if node.id == "sequence":
        return {str(place): (item.start_mark.line + 1, item) for place, item in enumerate(node.value)}
    return {}
