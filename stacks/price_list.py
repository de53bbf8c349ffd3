"""Refresh the prices of a project from the AWS Price List API (``pricing:GetProducts``).

A few regions serve the API, each for all regions. Each product is JSON with its attributes and, under
``terms.OnDemand``, price dimensions: USD for one of the vendor's units, by tiers. Source: the AWS Price List
Query API, ``GetProducts``, and the price list file format that it returns.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from blueprints.errors import ExitCode, Problem
from blueprints.pricebook import GLOBAL, REGION, UNITS, VERSION, Entry, PriceBook, Query, Quote, packaged
from stacks.costs import FILE, own_book, own_file
from stacks.disk import disk_problem
from stacks.project import Project

#: How the source reads in the file; quotes with it are replaced by the next refresh, others are the user's.
SOURCE = "aws pricing API"
#: The API is served from here for all regions.
_HOME_REGION = "us-east-1"
#: A price that moved further than this is no price of the same thing: a unit or a product changed.
_FURTHEST = 5.0


@dataclass(frozen=True)
class Refreshed:
    """What a refresh did: key -> USD for one unit, and key -> why it was left as it was."""

    taken: Mapping[str, float] = field(default_factory=dict)
    left: Mapping[str, str] = field(default_factory=dict)


def refresh(project: Project, region: str, say: Callable[[str], object] = lambda _: None) -> Refreshed:
    """Ask AWS for every price of ``region`` that the book has a query for, and write the project's
    ``prices.yaml``: all of it or, when the API cannot be used, nothing.

    Quotes that a person wrote stay and go on to count.

    Raises:
        Problem: No credentials, expired ones, no permission, no network or too many calls (exit code 3), a
            bad region, a damaged file, or the file cannot be written.
    """
    if not REGION.fullmatch(region):
        raise Problem(f"{region!r} is no region", where="--region", expected="one such as eu-central-1")
    own = own_book(project)
    book = packaged().overlaid(own, FILE) if own else packaged()
    asked = {key: entry for key, entry in book.entries.items() if entry.api is not None}
    say(f"asking AWS for {len(asked)} prices of {region}")
    taken: dict[str, float] = {}
    left = {key: "the book has no query for it" for key, entry in book.entries.items() if entry.api is None}
    with _told():
        client = _client()
        for key, entry in asked.items():
            price, why = _asked(client, entry, region)
            why = why or _doubt(key, region, price)
            if why:
                left[key] = why
            else:
                taken[key] = price
    if not taken:
        raise Problem(
            f"AWS has no price of {region} that the book asks for",
            where="--region",
            expected="a region of your account's partition",
            todo="check the name: aws.amazon.com/about-aws/global-infrastructure",
        )
    _write(own_file(project), _merged(book, own, taken, region))
    return Refreshed(taken, left)


def _client() -> Any:
    import boto3
    from botocore.config import Config

    config = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "max_attempts": 3})
    # A session of its own: the default one would go on with credentials that it has once seen.
    return boto3.session.Session().client("pricing", region_name=_HOME_REGION, config=config)


def _asked(client: Any, entry: Entry, region: str) -> tuple[float, str]:
    """The price of one of the entry's units, and why there is none (empty: there is one)."""
    assert entry.api is not None
    found = {
        price
        for product in _products(client, entry.api, region)
        if _fits(product, entry.api.usage)
        for price in [_first_tier(product)]
        if price is not None
    }
    if len(found) == 1:
        # A vendor's unit is one request where ours is a thousand; digits beyond the twelfth are noise.
        return float(f"{found.pop() * UNITS[entry.unit]:.12g}"), ""
    return 0.0, f"{len(found)} different prices fit, not one" if found else "AWS lists no such product there"


def _products(client: Any, query: Query, region: str) -> Iterator[dict[str, Any]]:
    """Every product that the filters find, all pages."""
    wanted = query.filters | {query.region_field: region}
    filters = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in wanted.items()]
    pages = client.get_paginator("get_products").paginate(
        ServiceCode=query.service, Filters=filters, FormatVersion="aws_v1"
    )
    for page in pages:
        for text in page.get("PriceList", []):
            try:
                product = json.loads(text) if isinstance(text, str) else text
            except json.JSONDecodeError:
                continue
            if isinstance(product, dict):
                yield product


def _fits(product: Mapping[str, Any], usage: str) -> bool:
    """Whether the product's usage type is ``usage``, alone or behind a region's mark: ``EUC1-``, ``EU-``,
    ``us-east-1-``."""
    if not usage:
        return True
    attributes = (product.get("product") or {}).get("attributes") or {}
    return bool(
        re.fullmatch(
            rf"(?:[A-Z]{{2,4}}\d?-|{REGION.pattern}-)?{re.escape(usage)}",
            str(attributes.get("usagetype", "")),
        )
    )


def _first_tier(product: Mapping[str, Any]) -> float | None:
    """USD for one of the vendor's units, on demand, in the first tier that costs something; None: the
    product has no such price."""
    tiers: list[tuple[float, float]] = []
    for term in ((product.get("terms") or {}).get("OnDemand") or {}).values():
        for dimension in (term.get("priceDimensions") or {}).values():
            try:
                amount = float(dimension["pricePerUnit"]["USD"])
                tiers.append((float(dimension.get("beginRange") or 0), amount))
            except (KeyError, TypeError, ValueError):
                continue
    if not tiers:
        return None
    return next((amount for _, amount in sorted(tiers) if amount > 0), 0.0)


def _doubt(key: str, region: str, price: float) -> str:
    """Why ``price`` cannot be right; empty: it can. Compared with any region the packaged book knows."""
    book = packaged()
    known = book.price(key, region) or next(
        (found for each in book.regions() if (found := book.price(key, each))), None
    )
    if known is None or known.amount == 0:
        return ""
    ratio = price / known.amount
    if 1 / _FURTHEST <= ratio <= _FURTHEST:
        return ""
    return f"AWS says {price:.10g} for one {known.unit}, the book {known.amount:.10g}: too far to be the same"


def _merged(
    book: PriceBook, own: PriceBook | None, taken: Mapping[str, float], region: str
) -> dict[str, dict[str, Any]]:
    """The entries of the project's file: what it had, our quotes of this region replaced."""
    today = datetime.now(UTC).date()
    entries: dict[str, dict[str, Any]] = {}
    for key in [*(own.entries if own else ()), *taken]:
        if key in entries:
            continue
        entry = own.entries.get(key) if own else None
        kept = [_without(quote, region) for quote in (entry.quotes if entry else ())]
        quotes = [_plain(quote) for quote in kept if quote.prices]
        if key in taken:
            # First: what a person wrote for the same region comes later and counts.
            fresh = Quote(prices={region: taken[key]}, source=SOURCE, date=today)
            quotes.insert(0, _plain(fresh))
        entries[key] = {"unit": book.entries[key].unit}
        if entry is not None and entry.api is not None:
            entries[key]["api"] = entry.api.model_dump(exclude_defaults=True)
        entries[key]["quotes"] = quotes
    return entries


def _without(quote: Quote, region: str) -> Quote:
    if quote.source != SOURCE:
        return quote
    prices = {place: amount for place, amount in quote.prices.items() if place not in (region, GLOBAL)}
    return quote.model_copy(update={"prices": prices})


def _plain(quote: Quote) -> dict[str, Any]:
    return quote.model_dump(exclude_defaults=True)


def _write(path: Path, entries: Mapping[str, Any]) -> None:
    import yaml

    today: date = datetime.now(UTC).date()
    data = {"version": VERSION, "date": today, "entries": dict(entries)}
    text = "# Prices of this project, laid over Modelyard's own. `modelyard cost update` renews those whose\n"
    text += f"# source is {SOURCE!r} and leaves yours; comments are not kept.\n"
    text += yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    try:
        descriptor, part = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(part).chmod(0o644)
        Path(part).replace(path)
    except OSError as error:
        raise disk_problem(error, path) from None


@contextmanager
def _told() -> Iterator[None]:
    """Turns what the SDK raises into the words of a Problem."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise _explained(error) from None


#: The API's error codes -> what they mean and what to do.
_REFUSALS = {
    "ExpiredToken": ("the AWS credentials have expired", "aws sso login, or set fresh ones"),
    "UnrecognizedClient": ("AWS does not know these credentials", "check AWS_ACCESS_KEY_ID or AWS_PROFILE"),
    "InvalidClientTokenId": ("AWS does not know these credentials", "check AWS_ACCESS_KEY_ID or AWS_PROFILE"),
    "InvalidSignature": ("AWS does not accept the secret key", "check AWS_SECRET_ACCESS_KEY and the clock"),
    "AccessDenied": ("these credentials may not read prices", "allow pricing:GetProducts on *"),
}


def _explained(error: Exception) -> Problem:
    from botocore.exceptions import ClientError, NoCredentialsError

    where = "AWS Price List API"
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        if "Throttl" in code or "TooManyRequests" in code:
            return Problem(
                "AWS asks for fewer calls at once",
                where=where,
                todo="wait a minute, then the same",
                code=ExitCode.RETRY,
            )
        for beginning, (what, todo) in _REFUSALS.items():
            if code.startswith(beginning):
                return Problem(f"{what} ({code})", where=where, expected="pricing:GetProducts", todo=todo)
        return Problem(f"AWS refused: {code}", where=where, todo="the book stays as it is")
    if isinstance(error, NoCredentialsError):
        return Problem(
            "there are no AWS credentials",
            where=where,
            expected="any that may call pricing:GetProducts",
            todo="aws configure, AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    name = type(error).__name__
    if any(word in name for word in ("Credential", "Profile", "Token")):
        what = f"the AWS credentials cannot be used ({name})"
        return Problem(what, where=where, todo="aws sso login, or check AWS_PROFILE")
    return Problem(
        f"AWS cannot be reached ({name})",
        where=where,
        expected="a way to the internet, or AWS_ENDPOINT_URL_PRICING",
        todo="estimates work without it: the book stays as it is",
        code=ExitCode.RETRY,
    )
