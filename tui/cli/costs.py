"""Estimates as lines of text."""

from __future__ import annotations

from collections.abc import Iterator

from blueprints.cost import Estimate, Range, difference
from tui.cli.output import Output


def lines(cost: Estimate, before: Estimate | None = None) -> Iterator[str]:
    """An estimate in short, for a plan: total, what changes, a line per layer that costs something."""
    head = f"cost {cost.headline} / month"
    if not cost.items:
        why = "; ".join(cost.because)
        yield f"{head}: {why}" if why and not cost.unpriced else head
        return
    if before is not None and before.items and before.total != cost.total:
        head += f", {(cost.total - before.total).signed} against now"
    yield f"{head} ({cost.region}; modelyard cost tells more)"
    for layer, amount in cost.layers.items():
        if amount != Range():
            yield f"  {layer:<13}  {amount}"


def show(cost: Estimate, out: Output) -> None:
    """An estimate, whole: every item with its price and source, what is not priced, what is assumed."""
    if cost.items:
        out.table(
            ("layer", "resource", "for", "USD / month", "price", "of", "source"),
            (
                (
                    item.layer,
                    item.resource,
                    item.what,
                    str(item.cost),
                    f"{'≈ ' if item.price.approximate else ''}{item.price.amount:.10g} / {item.price.unit}",
                    item.price.date.isoformat(),
                    item.price.source,
                )
                for item in cost.items
            ),
            right=(3, 4),
        )
        out.line()
    for line in lines(cost):
        out.line(line.replace("; modelyard cost tells more", f", price book of {cost.book}"))
    if cost.approximate:
        out.line("≈ approximate: no checked source. modelyard cost update asks AWS")
    if cost.free:
        out.line(f"{cost.free} resources cost nothing: {'; '.join(cost.because)}")
    for each in cost.unpriced:
        out.line(f"not priced: {each.resource} ({each.type}): {each.why}")
    for text in cost.assumptions:
        out.line(f"assumed: {text}")


def show_difference(names: tuple[str, str], before: Estimate, after: Estimate, out: Output) -> None:
    """Two estimates side by side, by layer."""
    by_layer = difference(before, after)
    rows = [
        (name, str(before.layers.get(name, Range())), str(after.layers.get(name, Range())), change.signed)
        for name, change in by_layer.items()
    ]
    rows.append(("total", str(before.total), str(after.total), (after.total - before.total).signed))
    out.table(("USD / month", *names, "difference"), rows, right=(1, 2, 3))
    for name, cost in zip(names, (before, after), strict=True):
        for each in cost.unpriced:
            out.line(f"not priced in {name}: {each.resource} ({each.type}): {each.why}")
