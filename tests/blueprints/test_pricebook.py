"""The price book: every price says its unit, source and day; a bad file is told with line and key."""

from __future__ import annotations

from datetime import date

import pytest

from blueprints.errors import ExitCode, UsageProblem
from blueprints.pricebook import GLOBAL, UNITS, packaged, parse

HEAD = "version: 1\ndate: 2026-11-24\nentries:\n"
ENTRY = """\
  nat.hour:
    unit: hour
    quotes:
      - prices: {eu-central-1: 0.03}
        source: our contract
        date: 2026-10-01
"""


def test_the_packaged_book_has_the_four_regions_whole_and_says_what_nobody_checked() -> None:
    book = packaged()
    assert set(book.regions()) == {"us-east-1", "us-west-2", "eu-west-1", "eu-central-1"}
    memory = 0
    for key, entry in book.entries.items():
        assert entry.unit in UNITS, key
        for region in book.regions():
            price = book.price(key, region)
            assert price is not None, (key, region)
            assert price.source, key
            assert price.date <= book.date, key
            assert price.approximate == price.source.startswith("from memory"), key
            memory += price.approximate
    assert memory > 0


def test_what_all_of_aws_needs_is_in_it() -> None:
    book = packaged()
    assert "rds.db.t4g.medium.multi" in book.entries
    assert book.price("route53.zone", "eu-west-1") is not None
    assert book.price("route53.zone", "eu-west-1").region == GLOBAL  # type: ignore[union-attr]
    assert book.price("no.such.thing", "eu-west-1") is None
    assert book.price("nat.hour", "ap-south-1") is None


def test_a_projects_prices_count_where_it_has_some() -> None:
    book = packaged().overlaid(parse(HEAD + ENTRY, "prices.yaml"))
    mine, theirs = book.price("nat.hour", "eu-central-1"), book.price("nat.hour", "us-east-1")
    assert mine is not None
    assert theirs is not None
    assert (mine.amount, mine.source, mine.date, mine.approximate) == (
        0.03,
        "our contract",
        date(2026, 10, 1),
        False,
    )
    assert theirs == packaged().price("nat.hour", "us-east-1")


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        (HEAD + ENTRY.replace("0.03", "-0.03"), "prices.yaml:7 entries.nat.hour", "negative price"),
        (HEAD + ENTRY.replace("0.03", ".inf"), "prices.yaml:7 entries.nat.hour", "finite"),
        (HEAD + ENTRY.replace("0.03", "cheap"), "prices.yaml:7 entries.nat.hour", "number"),
        (HEAD + ENTRY.replace("hour\n", "fortnight\n"), "prices.yaml:4 entries.nat.hour", "'fortnight'"),
        (HEAD + ENTRY.replace("eu-central-1", "Frankfurt"), "prices.yaml:7 entries.nat.hour", "'Frankfurt'"),
        (HEAD + ENTRY.replace("        source: our contract\n", ""), "source", "missing"),
        (HEAD + ENTRY.replace("source:", "origin:"), "quotes.0", "missing"),
        (HEAD + ENTRY + "  nat: [\n", "prices.yaml:11", "damaged"),
        (HEAD.replace("1\n", "2\n", 1) + ENTRY, "prices.yaml:1", "newer Modelyard"),
        (HEAD.replace("date: 2026-11-24\n", "") + ENTRY, "date", "missing"),
        ("just words", "prices.yaml", "no map"),
        ("", "prices.yaml", "no map"),
        ("\x00", "prices.yaml", "damaged"),
    ],
)
def test_a_bad_file_is_told_with_line_and_key(text: str, where: str, what: str) -> None:
    with pytest.raises(UsageProblem) as caught:
        parse(text, "prices.yaml")
    assert where in caught.value.where
    assert what in caught.value.what
    assert caught.value.code is ExitCode.USAGE


def test_an_overlay_cannot_change_what_a_price_is_for() -> None:
    other = parse(HEAD + ENTRY.replace("unit: hour", "unit: GB"), "prices.yaml")
    with pytest.raises(UsageProblem, match="priced by the hour"):
        packaged().overlaid(other)
    unknown = parse(
        HEAD + ENTRY.replace("nat.hour", "nat.minute").replace("    unit: hour\n", ""), "prices.yaml"
    )
    with pytest.raises(UsageProblem, match="new and has no unit"):
        packaged().overlaid(unknown)


def test_an_unknown_region_names_those_of_the_book_and_how_to_get_it() -> None:
    with pytest.raises(UsageProblem) as caught:
        packaged().require_region("ap-south-1")
    assert caught.value.where == "cost.region"
    assert "eu-central-1" in caught.value.expected
    assert "modelyard cost update --region ap-south-1" in caught.value.todo
