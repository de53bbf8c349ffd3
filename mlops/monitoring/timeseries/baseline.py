"""What a series is expected to be next: its season, its recent level, and how far it strays from both.

The expectation is the median of the same slot of the season (time of day, of the week) plus the median level
of the last seven days. How far values stray is measured on the past by the same rule, each value left out of
its own slot and compared with the days before it: a trend, a heavy tail, noise that lasts widen the interval
instead of alarming. Medians, because an outage of last week must not become normal.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlops.monitoring.tests import tails
from mlops.monitoring.timeseries.change import changes

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]
#: The slot of the season in which each time is.
Slots = Callable[[Whole], Whole]
DAY = 86_400
WEEK = 7 * DAY
#: Fewer values say too little of what is normal.
LEAST = 24
#: Values of a slot that a season needs, and the part by which it must narrow the errors to be believed.
_LEAST_OF_SLOT, _WORTH = 3, 0.9
#: Days (or eighths of a shorter past) whose level is that of now.
_LEVEL = 7
#: From so many errors on, their tails are fitted: beyond the outermost tenth on each side.
_LEAST_TAIL, _TAIL = 200, 0.1
#: Times that days stray from the week before them, which a change of level must exceed.
_BEYOND_DAYS = 3.0
#: Days whose sums say how much a day strays.
_LEAST_DAYS = 10
#: Of the past, the share of values that may be left out because they were called unusual then.
_LEFT_OUT = 0.02
_MAD = 1.4826


@dataclass(frozen=True)
class Expectation:
    """What a value should be.

    Attributes:
        expected: In the unit of the series.
        low, high: Between these are all but ``alpha`` of the values.
        p_value: Of a value as far from ``expected`` as this one, on its side or either.
        day: Share by which the last 24 hours together, this value included, are off what was expected of
            them; None: periods of a day and more, or too little is known.
        day_p_value: Of that.
        season: ``""``, ``day``, ``workday`` (day, weekends apart) or ``week``.
        learnt: Values of the past that it stands on.
    """

    expected: float
    low: float
    high: float
    p_value: float
    day: float | None
    day_p_value: float
    season: str
    learnt: int


@dataclass(frozen=True)
class Step:
    """A change of the level that has lasted for a day at least.

    Attributes:
        moment: Begin of the first period at the new level, as in ``times``.
        before, after: Values at the level before it and since, in the middle of the season.
    """

    moment: int
    before: float
    after: float
    p_value: float


@dataclass(frozen=True)
class _Scale:
    """Makes the noise of busy and of quiet hours alike."""

    there: Callable[[Floats], Floats]
    back: Callable[[float], float]


def _squared(value: float) -> float:
    return max(0.0, value) ** 2


def _exp(value: float) -> float:
    return math.exp(min(700.0, value))


_PLAIN = _Scale(lambda values: values, float)
_ROOT = _Scale(np.sqrt, _squared)
_LOG = _Scale(np.log, _exp)


class Baseline:
    """Learns from the past of one series.

    Args:
        times: Begin of each period in seconds, ascending, shape ``(n,)``; local time, for a season is that
            of the people who make it.
        values: Shape ``(n,)``; NaN where nothing is known.
        period: Seconds from one value to the next.
        usual: Whether each value was called usual when it came; those that were not are left out of what is
            learnt about tails, 2 % of them at most.
    """

    def __init__(
        self,
        times: Whole,
        values: Floats,
        period: int,
        usual: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        known = np.isfinite(values)
        self._times, values = times[known], values[known]
        usual = np.ones(len(values), bool) if usual is None else usual[known]
        self._period = period
        self.learnt = len(values)
        if self.learnt < LEAST:
            return
        span = int(self._times[-1] - self._times[0]) + period
        self._day = max(period, min(DAY, span // 8))
        scales = [_PLAIN]
        if values.min() >= 0 and values.max() > 0:
            scales += [_ROOT, _LOG] if values.min() > 0 else [_ROOT]
        fits = [self._fit(scale, values) for scale in scales]
        # Another scale than the plain one only where the noise grows with the level.
        best = min(range(len(fits)), key=lambda at: fits[at].grows + 0.1 * (at > 0))
        self._scale, self._fitted, self._values = scales[best], fits[best], values
        self._tails = _Tails(_kept(self._fitted.errors, usual[self._fitted.of]))

    def expect(
        self, moment: int, value: float, alpha: float = 0.001, side: str = "both"
    ) -> Expectation | None:
        """What the value of the period that begins at ``moment`` should be; None: too little is known.

        Args:
            value: It; NaN asks for the expectation alone.
            alpha: Share of usual values outside of the interval, both sides together.
            side: ``low``, ``high`` or ``both``: which deviations count.
        """
        if self.learnt < LEAST:
            return None
        fit, scale = self._fitted, self._scale
        middle = fit.season.at(moment) + _level(self._times, fit.left, moment, self._day)
        low, high = (middle + self._tails.beyond(alpha / 2, at) for at in (-1, 1))
        p_value, day, day_p_value = 1.0, None, 1.0
        if math.isfinite(value):
            inside = scale is _PLAIN or value > 0 or (scale is _ROOT and value == 0)
            error = float(scale.there(np.asarray([value]))[0]) - middle if inside else -math.inf
            p_value = self._tails.p_value(error, side)
            day, day_p_value = self._over_a_day(moment, value, scale.back(middle), side)
        return Expectation(
            scale.back(middle), scale.back(low), scale.back(high), p_value, day, day_p_value,
            fit.season.name, self.learnt,
        )  # fmt: skip

    def _over_a_day(
        self, moment: int, value: float, expected: float, side: str
    ) -> tuple[float | None, float]:
        """How far the last 24 hours are off together: small deviations that last. Sums over a day of the past
        show how much they stray, with what one hour has of the hour before."""
        each, fit = DAY // self._period, self._fitted
        if each < 2 or len(fit.of) < _LEAST_DAYS * each:
            return None, 1.0
        times = np.append(self._times[fit.of], moment)
        seen = np.append(self._values[fit.of], value)
        wanted = np.asarray(
            [self._scale.back(x) for x in (self._scale.there(self._values[fit.of]) - fit.errors)]
        )
        wanted = np.append(wanted, expected)
        first = np.searchsorted(times, times - DAY, side="right")
        sums = [np.concatenate([[0.0], np.cumsum(part)]) for part in (seen - wanted, np.abs(wanted))]
        off, of = (total[1:] - total[first] for total in sums)
        full = (np.arange(len(times)) + 1 - first >= each / 2) & (of > 0)
        if not full[-1]:
            return None, 1.0
        shares = off[full] / of[full]
        past, now = shares[:-1], float(shares[-1])
        # Overlapping sums are no more than as many days.
        found = _Tails(past, len(past) / each)
        return now, found.p_value(now, side)

    def step(self) -> Step | None:
        """The newest change of the level, season apart, by :mod:`mlops.monitoring.timeseries.change`; None:
        there is none, or the level wanders so that a day is often as far from the week before."""
        if self.learnt < LEAST:
            return None
        fit = self._fitted
        found = changes(fit.left, max(8, DAY // self._period))
        if not found:
            return None
        last = found[-1]
        days = self._times[fit.of] // self._day
        of_days = np.asarray([fit.errors[days == day].mean() for day in np.unique(days)])
        if abs(last.after - last.before) < _BEYOND_DAYS * _spread(of_days):
            return None
        middle = float(np.median(fit.season.of_all))
        before, after = (self._scale.back(middle + level) for level in (last.before, last.after))
        return Step(int(self._times[last.at]), before, after, last.p_value)

    def _fit(self, scale: _Scale, values: Floats) -> _Fit:
        seen = scale.there(values)
        best: _Fit | None = None
        for name, slots in _seasons(self._times, self._period):
            season = _Season(name, slots, self._period, self._times, seen)
            if season.least < _LEAST_OF_SLOT:
                continue
            left = seen - season.without(seen)
            before = _levels(self._times, left, self._day)
            of = np.flatnonzero(np.isfinite(before))
            errors = left[of] - before[of]
            fit = _Fit(
                season, seen - season.of_all, errors, of, _width(errors), _growth(seen[of] - errors, errors)
            )
            if best is None or fit.width < _WORTH * best.width:
                best = fit
        assert best is not None, "no season needs no slot"
        return best


@dataclass(frozen=True, eq=False)
class _Fit:
    """A season on a scale: what is left of the values without it, errors of the values at ``of``."""

    season: _Season
    left: Floats
    errors: Floats
    of: Whole
    width: float
    grows: float


def _seasons(times: Whole, period: int) -> list[tuple[str, Slots]]:
    """Names, and the slot of a time, of the seasons that such a series may have, the simplest first."""
    found: list[tuple[str, Slots]] = [("", np.zeros_like)]
    if period < DAY:
        found += [
            ("day", lambda t: t % DAY // period),
            # 1970 began on a Thursday.
            ("workday", lambda t: t % DAY // period + (2 * DAY // period) * ((t // DAY + 3) % 7 >= 5)),
        ]
    if period <= DAY:
        found.append(("week", lambda t: t % WEEK // period))
    return found


class _Season:
    """The median of each slot."""

    def __init__(
        self,
        name: str,
        slots: Slots,
        period: int,
        times: Whole,
        values: Floats,
    ) -> None:
        self.name, self._slots = name, slots
        self._of = slots(times)
        self._slot, self._place, counts = np.unique(self._of, return_inverse=True, return_counts=True)
        self.least = int(np.median(counts)) if name else len(values)
        order = np.lexsort((values, self._place))
        self._order, self._counts = order, counts
        self._starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        self._sorted = values[order]
        self._whole = float(np.median(values))
        self._medians = self._median(np.zeros(len(counts), int), counts)
        self.of_all = self._medians[self._place] if name else np.full(len(values), self._whole)

    def _median(self, low: Whole, high: Whole) -> Floats:
        """Of the sorted values ``low`` to ``high`` (exclusive) of each slot."""
        size = np.maximum(1, high - low)
        first, last = self._starts + low + (size - 1) // 2, self._starts + low + size // 2
        most = len(self._sorted) - 1
        return np.asarray((self._sorted[np.minimum(first, most)] + self._sorted[np.minimum(last, most)]) / 2)

    def without(self, values: Floats) -> Floats:
        """The median of the slot of each value without that value; of all values where it is alone."""
        if not self.name:
            return np.full(len(values), self._whole)
        rank = np.empty(len(values), np.int64)
        rank[self._order] = np.arange(len(values))
        place, start, count = self._place, self._starts[self._place], self._counts[self._place]
        mine, rest = rank - start, count - 1

        def nth(n: Whole) -> Floats:
            at = start + n + (n >= mine)
            return np.asarray(self._sorted[np.clip(at, 0, len(values) - 1)])

        middle = (nth(np.maximum(0, rest - 1) // 2) + nth(rest // 2)) / 2
        assert len(place) == len(values)
        return np.where(rest > 0, middle, self._whole)

    def at(self, moment: int) -> float:
        """The median of the slot of a moment; of all values for a slot that was never seen."""
        if not self.name:
            return self._whole
        slot = self._slots(np.asarray([moment]))[0]
        found = np.searchsorted(self._slot, slot)
        if found < len(self._slot) and self._slot[found] == slot:
            return float(self._medians[found])
        return self._whole


def _level(times: Whole, left: Floats, moment: int, day: int) -> float:
    """The median of the last days before a moment."""
    recent = left[(times >= moment - _LEVEL * day) & (times < moment)]
    return float(np.median(recent)) if len(recent) else float(np.median(left))


def _levels(times: Whole, left: Floats, day: int) -> Floats:
    """The level before the day of each value; NaN on the first two days."""
    days = (times - times[0]) // day
    found = np.full(len(left), np.nan)
    starts = np.searchsorted(days, np.arange(days[-1] + 2))
    for each in range(2, int(days[-1]) + 1):
        here = slice(starts[each], starts[each + 1])
        before = left[starts[max(0, each - _LEVEL)] : starts[each]]
        if len(before) and here.stop > here.start:
            found[here] = np.median(before)
    return found


def _spread(errors: Floats) -> float:
    return _MAD * float(np.median(np.abs(errors - np.median(errors))))


def _width(errors: Floats) -> float:
    """Mean size of errors but for the largest twentieth: unlike a median it tells small counts apart."""
    sizes = np.sort(np.abs(errors - np.median(errors)))
    return float(sizes[: max(1, int(0.95 * len(sizes)))].mean())


def _growth(expected: Floats, errors: Floats) -> float:
    """How much the size of errors follows the level: Spearman's rank correlation, absolute."""
    if len(errors) < 3 or np.ptp(expected) == 0:
        return 0.0
    one, other = (np.argsort(np.argsort(each)).astype(float) for each in (expected, np.abs(errors)))
    spread = float(one.std() * other.std())
    return abs(float(((one - one.mean()) * (other - other.mean())).mean()) / spread) if spread else 0.0


def _kept(errors: Floats, usual: npt.NDArray[np.bool_]) -> Floats:
    """Without the largest of those that were called unusual when they came: an outage of last week must not
    make the next one usual."""
    most = int(_LEFT_OUT * len(errors))
    odd = np.flatnonzero(~usual)
    worst = odd[np.argsort(-np.abs(errors[odd]))][:most]
    return np.delete(errors, worst)


class _Tails:
    """The distribution of errors: Student's in the middle, generalised Pareto beyond the outermost tenth
    where there are enough (peaks over threshold; Pickands, Annals of Statistics 3, 1975; fitted by
    probability weighted moments: Hosking and Wallis, Technometrics 29, 1987; the wider of both holds)."""

    def __init__(self, errors: Floats, independent: float | None = None) -> None:
        self._centre = float(np.median(errors))
        self._freedom = max(3.0, (independent or len(errors)) - 1)
        near = errors - self._centre
        # A series that hardly ever moves has no spread: then that of the few moves.
        self._spread = _spread(near) or float(near.std()) or 1e-12 * (abs(self._centre) or 1.0)
        enough = independent is None and len(near) >= _LEAST_TAIL
        self._tails = {side: _pareto(side * near) if enough else None for side in (-1, 1)}

    def beyond(self, share: float, side: int) -> float:
        """The error that ``share`` of all errors exceed on a side (-1, 1)."""
        # Student's quantile by that of the normal (Hill, Communications of the ACM 13, 1970, first terms).
        z, v = tails.z_of(math.log(2 * share)), self._freedom
        t = z + (z**3 + z) / (4 * v) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v * v)
        far = t * self._spread
        tail = self._tails[side]
        if tail is not None:
            far = max(far, tail.quantile(share))
        return self._centre + side * far

    def p_value(self, error: float, side: str) -> float:
        """Share of errors as far out, on one side or either."""
        far = error - self._centre
        at = 1 if far > 0 else -1
        if side != "both" and at != {"low": -1, "high": 1}[side]:
            return 1.0
        if not math.isfinite(far):
            return 0.0
        p = math.exp(tails.student(abs(far) / self._spread, self._freedom))
        tail = self._tails[at]
        if tail is not None:
            p = max(p, min(1.0, 2 * tail.beyond(abs(far))))
        return p if side == "both" else p / 2


@dataclass(frozen=True)
class _Pareto:
    """Excesses over ``start``, which ``share`` of all values reach."""

    start: float
    share: float
    scale: float
    shape: float

    def beyond(self, value: float) -> float:
        """Share of all values above this one."""
        if value <= self.start:
            return 1.0
        excess = (value - self.start) / self.scale
        if self.shape < 1e-6:
            return self.share * math.exp(-excess)
        return float(self.share * (1 + self.shape * excess) ** (-1 / self.shape))

    def quantile(self, share: float) -> float:
        """The value that this share exceeds."""
        if share >= self.share:
            return self.start
        if self.shape < 1e-6:
            return self.start - self.scale * math.log(share / self.share)
        return float(self.start + self.scale / self.shape * ((share / self.share) ** -self.shape - 1))


def _pareto(values: Floats) -> _Pareto | None:
    """Fitted to the uppermost tenth."""
    ordered = np.sort(values)
    count = int(_TAIL * len(ordered))
    start = float(ordered[-count - 1])
    excesses = ordered[-count:] - start
    mean = float(excesses.mean())
    if start <= 0 or mean <= 0:
        return None
    weights = (count - 1 - np.arange(count)) / (count - 1)
    second = float((weights * excesses).mean())
    ratio = mean / (mean - 2 * second) if mean > 2 * second else 2.0
    # Hosking and Wallis' k is minus the shape. Bounded tails are not believed, nor those without a mean.
    shape = min(0.5, max(0.0, 2 - ratio))
    return _Pareto(start, count / len(ordered), mean * (1 - shape), shape)
