"""A policy over the past: what it would have said, before it is switched on; and policies for a budget."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from blueprints.alerting import AlertsSpec
from mlops.monitoring.alerts.alert import Alert
from mlops.monitoring.alerts.fatigue import Fatigue, measured
from mlops.monitoring.alerts.history import Past
from mlops.monitoring.alerts.lifecycle import step
from mlops.monitoring.alerts.policy import Policy, causes, covered_by

_WEEK = timedelta(weeks=1)


@dataclass(frozen=True)
class Replayed:
    """What a policy would have said.

    Attributes:
        alerts: That somebody would have heard of, oldest first, each with what people said of the alert that
            was really there then.
        fatigue: Its figures.
        lost: Alerts that people called useful and that this policy would not have raised.
    """

    alerts: tuple[Alert, ...]
    fatigue: Fatigue
    lost: tuple[Alert, ...]


def replay(spec: AlertsSpec, past: Sequence[Past], said: Iterable[Alert]) -> Replayed:
    """Run a policy over the past; burn rates, silences and reports from outside are not part of it.

    Args:
        past: Windows, oldest first.
        said: The alerts that were really there, for what people said of them.
    """
    known = list(said)
    heard = _heard(Policy.of(spec), past)
    matched = {id(alert): _really(alert, known) for alert in heard}
    alerts = tuple(_with_word(alert, matched[id(alert)]) for alert in heard)
    found = {match.id for match in matched.values() if match is not None}
    lost = tuple(a for a in known if a.useful and a.id not in found and _is_analysis(a, past))
    return Replayed(alerts, measured(alerts, _spans(past)), lost)


def _heard(policy: Policy, past: Sequence[Past]) -> list[Alert]:
    book: dict[tuple[str, ...], Alert] = {}
    heard: dict[int, Alert] = {}
    over: list[Alert] = []
    serial = 0
    for each in past:
        now = each.window.end or each.recorded
        for seen in policy.observations(each.findings, each.window):
            before = book.get(seen.key)
            after = step(before, seen, policy.persistence(seen), now)
            if after is None:
                book.pop(seen.key, None)
                continue
            if before is None:
                serial += 1
                after = replace(after, id=serial)
            if after.state == "resolved":
                if heard.pop(after.id, None) is not None:
                    over.append(after)
                book.pop(seen.key, None)
                continue
            book[seen.key] = after
        explaining = causes(book.values())
        for alert in book.values():
            if alert.id in heard or (
                alert.state == "firing" and covered_by(alert, explaining, policy.spec) is None
            ):
                heard[alert.id] = alert
    return sorted([*over, *heard.values()], key=lambda alert: (alert.fired_at or alert.first_seen, alert.id))


def _really(alert: Alert, known: Sequence[Alert]) -> Alert | None:
    """The alert of the same thing that was there while this one would have been."""
    for each in known:
        # What is recorded has the monitor's clock, the replay the log's: the windows are in both.
        if each.key == alert.key and each.fired_at is not None and _overlap(alert, each):
            return each
    return None


def _overlap(one: Alert, other: Alert) -> bool:
    if one.window_end is None or other.window_end is None:
        return True
    start = one.window_start or one.window_end
    grace = max(timedelta(0), one.window_end - start)
    lasted = (other.last_seen - other.first_seen) + grace
    return other.window_end - lasted <= one.window_end and start <= other.window_end + grace


def _with_word(alert: Alert, match: Alert | None) -> Alert:
    if match is None or match.acknowledged_at is None or match.fired_at is None or alert.fired_at is None:
        return alert
    waited = match.acknowledged_at - match.fired_at
    return replace(alert, useful=match.useful, acknowledged_at=alert.fired_at + waited)


def _is_analysis(alert: Alert, past: Sequence[Past]) -> bool:
    times = [each.window.end for each in past if each.window.end is not None]
    inside = not times or alert.window_end is None or min(times) <= alert.window_end <= max(times)
    outside = ("infrastructure", "rollout", "pipeline", "source", "no_data")
    return inside and alert.kind not in outside and alert.statistic != "burn"


def _spans(past: Sequence[Past]) -> list[tuple[datetime, datetime]]:
    found: dict[str, tuple[datetime, datetime]] = {}
    for each in past:
        at = each.window.end or each.recorded
        low, high = found.get(each.window.model, (at, at))
        found[each.window.model] = (min(low, at), max(high, at))
    return list(found.values())


#: From the most to the least that is heard.
_PERSISTENCE = ((1, 1), (2, 3), (3, 4), (3, 5), (4, 5), (5, 6))
_EFFECTS = (1.0, 1.25, 1.5, 2.0, 3.0, 5.0)


@dataclass(frozen=True)
class Proposal:
    """Thresholds, and what they would have said.

    Attributes:
        per_week: Alerts a week, over all models.
        fits: Whether that is within the budget.
    """

    spec: AlertsSpec
    replayed: Replayed
    per_week: float
    fits: bool


def tune(spec: AlertsSpec, past: Sequence[Past], said: Sequence[Alert], budget: float) -> Proposal:
    """Thresholds for a budget of alerts a week: of those within it the ones that lose the fewest alerts that
    people called useful, then carry the least noise, then hear the most; none within it: the quietest."""
    weeks = max(
        (max(high for _, high in spans) - min(low for low, _ in spans)) / _WEEK
        if (spans := _spans(past))
        else 0.0,
        1 / 7,
    )
    proposals = []
    for need, of in _PERSISTENCE:
        for effect in _EFFECTS:
            tried = spec.model_copy(update={"windows": need, "of_windows": of, "effect": effect})
            result = replay(tried, past, said)
            per_week = len(result.alerts) / weeks
            proposals.append(Proposal(tried, result, per_week, per_week <= budget))
    within = [each for each in proposals if each.fits]
    if not within:
        return min(proposals, key=lambda p: p.per_week)
    return min(within, key=lambda p: (len(p.replayed.lost), p.replayed.fatigue.noise, -p.per_week))
