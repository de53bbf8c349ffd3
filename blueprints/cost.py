"""What an environment costs in a month, from the resources of a preview and a price book; no network.

Nothing is silently 0: a resource is priced, known to be free, or listed as not priced with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TypeAlias

from blueprints.billing import Charge, Resource, Scene, Unpriceable
from blueprints.charges import RULES, Rule
from blueprints.errors import ExitCode, Problem
from blueprints.layers import Layer
from blueprints.pricebook import Price, PriceBook
from blueprints.spec import UsageSpec
from blueprints.unbilled import free_because, unpriced_because

__all__ = ["Estimate", "Item", "Range", "Resource", "Unpriced", "difference", "estimate"]

#: One LCU is 25 new connections a second, or 1 GB an hour (the other two dimensions are never ours).
_CONNECTIONS_PER_LCU_HOUR = 25 * 3600


@dataclass(frozen=True)
class Range:
    """USD a month: ``low`` when nobody uses it, ``high`` with the assumed use."""

    low: float = 0.0
    high: float = 0.0

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.high + other.high)

    def __sub__(self, other: Range) -> Range:
        return Range(self.low - other.low, self.high - other.high)

    @property
    def signed(self) -> str:
        """As a difference: ``+12.30``, ``-5.00 – +3.00``, ``0``."""
        low, high = _money(self.low, "+"), _money(self.high, "+")
        return low if low == high else f"{low} – {high}"

    def __str__(self) -> str:
        """``0``, ``12.30``, ``410 – 520``: two digits below 100, one number when both are equal."""
        low, high = _money(self.low), _money(self.high)
        return low if low == high else f"{low} – {high}"


def _money(amount: float, sign: str = "") -> str:
    if abs(amount) < 0.005:
        return "0"
    return f"{amount:{sign},.2f}" if abs(amount) < 100 else f"{amount:{sign},.0f}"


@dataclass(frozen=True)
class Item:
    """One line of the bill.

    Attributes:
        resource: Name of the resource.
        type: Its type token.
        layer: Its layer.
        what: What is paid for.
        cost: USD a month.
        quantity: Units a month, low and high.
        price: The price of one unit, with its source and date.
    """

    resource: str
    type: str
    layer: Layer | None
    what: str
    cost: Range
    quantity: Range
    price: Price


@dataclass(frozen=True)
class Unpriced:
    """A resource, or a part of one, that may cost something nobody has estimated, and why."""

    resource: str
    type: str
    layer: Layer | None
    why: str


@dataclass(frozen=True)
class Estimate:
    """The estimate of one environment.

    Attributes:
        region: Whose prices were taken.
        currency: Always ``USD``.
        book: The day the price book was last gone through.
        total: USD a month.
        layers: The same by layer, free ones too; ``environment`` is what belongs to none.
        items: Every line, dearest first.
        unpriced: What is not in the total.
        free: How many resources are known to cost nothing.
        because: Why they do, each reason once.
        approximate: Whether any price in it has no checked source.
        assumptions: What the estimate takes for granted, in sentences.
    """

    region: str
    currency: str
    book: date
    total: Range
    layers: Mapping[str, Range]
    items: tuple[Item, ...]
    unpriced: tuple[Unpriced, ...]
    free: int
    because: tuple[str, ...]
    approximate: bool
    assumptions: tuple[str, ...]

    @property
    def headline(self) -> str:
        """For one line: ``0``, ``410 – 520 USD, approximate``, ``0, 2 not priced``."""
        parts = [str(self.total) + (f" {self.currency}" if self.items else "")]
        parts += ["approximate"] * self.approximate
        parts += [f"{len(self.unpriced)} not priced"] * bool(self.unpriced)
        return ", ".join(parts)

    def largest(self, count: int = 3) -> tuple[Item, ...]:
        """The dearest lines."""
        return self.items[:count]

    def require_within(self, budget: float | None, where: str) -> None:
        """Raise a :class:`Problem` (exit code 1) when a month may cost more than ``budget`` USD.

        The upper end counts: a budget is kept, or it is none.
        """
        if budget is None or self.total.high <= budget:
            return
        worst = "; ".join(
            f"{item.resource} ({item.what}) {item.cost} {self.currency}" for item in self.largest()
        )
        raise Problem(
            f"it may cost {self.headline} a month, over the budget of {_money(budget)} {self.currency}; "
            f"largest: {worst}",
            where=f"{where} cost.budget_per_month",
            expected=f"{_money(budget)} {self.currency} a month or less",
            todo="modelyard cost lists every item; make one smaller, or raise cost.budget_per_month",
            code=ExitCode.FAILED,
        )


Priced: TypeAlias = tuple[Resource, Charge]


def estimate(
    resources: Iterable[Resource],
    book: PriceBook,
    region: str,
    usage: UsageSpec,
    rules: Mapping[str, Rule] = RULES,
) -> Estimate:
    """What ``resources`` cost in ``region`` with the assumed ``usage``; what the book lacks is not priced.
    ``rules`` say by type token what a resource is billed for."""
    everything = tuple(resources)
    scene = Scene(everything, _amounts(usage))
    charges: list[Priced] = []
    unpriced: list[Unpriced] = []
    free: list[Resource] = []
    for resource in everything:
        try:
            found = _charges(resource, scene, rules)
        except Unpriceable as reason:
            unpriced.append(Unpriced(resource.name, resource.type, resource.layer, str(reason)))
            continue
        charges += [(resource, charge) for charge in found]
        free += [] if found else [resource]
    if any(resource.type.startswith("kubernetes:") for resource in everything):
        why = "what the nodes of your cluster cost is not known here"
        unpriced.append(Unpriced("nodes", "kubernetes", None, why))
    items = []
    for resource, charge in _divided(charges):
        price = book.price(charge.key, region)
        if price is None:
            why = f"{charge.what}: the price book has no {charge.key} in {region}"
            unpriced.append(Unpriced(resource.name, resource.type, resource.layer, why))
        else:
            items.append(_item(resource, charge, price))
    items.sort(key=lambda item: (-item.cost.high, -item.cost.low, item.resource, item.what))
    return Estimate(
        region=region,
        currency=book.currency,
        book=book.date,
        total=sum((item.cost for item in items), Range()),
        layers=_by_layer(everything, items),
        items=tuple(items),
        unpriced=tuple(unpriced),
        free=len(free),
        because=tuple(sorted({free_because(resource.type) for resource in free} - {""})),
        approximate=any(item.price.approximate for item in items),
        assumptions=_assumptions(usage) if items else (),
    )


def _charges(resource: Resource, scene: Scene, rules: Mapping[str, Rule]) -> list[Charge]:
    """What is paid for ``resource``; nothing: it is free.

    Raises:
        Unpriceable: Nobody knows.
    """
    rule = rules.get(resource.type)
    if rule is not None:
        return list(rule(resource, scene))
    why = unpriced_because(resource.type)
    if why:
        raise Unpriceable(why)
    if free_because(resource.type):
        return []
    raise Unpriceable("no rule says what this type costs")


def _divided(charges: list[Priced]) -> list[Priced]:
    """Each charge with its own part of what it shares with others."""
    sharers: dict[str, set[int]] = {}
    for resource, charge in charges:
        if charge.shared:
            sharers.setdefault(charge.shared, set()).add(id(resource))
    divided = []
    for resource, charge in charges:
        parts = len(sharers[charge.shared]) if charge.shared else 1
        mine = Charge(charge.what, charge.key, charge.low / parts, charge.high / parts)
        divided.append((resource, mine))
    return divided


def _item(resource: Resource, charge: Charge, price: Price) -> Item:
    return Item(
        resource=resource.name,
        type=resource.type,
        layer=resource.layer,
        what=charge.what,
        cost=Range(charge.low * price.amount, charge.high * price.amount),
        quantity=Range(charge.low, charge.high),
        price=price,
    )


def _by_layer(resources: tuple[Resource, ...], items: list[Item]) -> dict[str, Range]:
    present = {resource.layer for resource in resources}
    order: list[Layer | None] = [*Layer, None]
    return {
        layer.value if layer else "environment": sum(
            (item.cost for item in items if item.layer is layer), Range()
        )
        for layer in order
        if layer in present
    }


def _amounts(usage: UsageSpec) -> dict[str, float]:
    """The assumed use by name, and what follows from it."""
    given: dict[str, float] = usage.model_dump()
    calls = given["object_writes"] + given["object_reads"]
    return {
        **given,
        "lcu_hours": max(given["requests"] / _CONNECTIONS_PER_LCU_HOUR, given["data_out_gb"]),
        "key_uses": calls,
        "object_calls": calls,
        "flow_gb": given["logs_gb"],
        "alerts": 1_000,
        "secret_reads": 10_000,
    }


def _assumptions(usage: UsageSpec) -> tuple[str, ...]:
    settings = ", ".join(f"{name} {value:,.10g}" for name, value in usage.model_dump().items())
    return (
        "on demand, before tax, no free tier, credit or contract",
        f"a month: {settings} (cost.usage.*)",
        "low: running and unused, at its least size; high: that use, at the largest size it may scale to",
        "use is divided equally among the resources that share it",
        "each request is a connection of its own; each object call uses the key; "
        "network logs are as much as logs; 1,000 alert messages and 10,000 reads of secrets",
        "data is priced in its first tier; logs without a retention are kept for a year",
    )


def difference(before: Estimate, after: Estimate) -> dict[str, Range]:
    """By layer, what ``after`` costs more than ``before`` (less: negative), layers of either."""
    names = [*after.layers, *(name for name in before.layers if name not in after.layers)]
    return {name: after.layers.get(name, Range()) - before.layers.get(name, Range()) for name in names}
