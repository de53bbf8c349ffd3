"""Policy: which findings anybody hears of, and how loudly. Pure; what is found is stored in any case."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from fnmatch import fnmatchcase

from blueprints.alerting import AlertsSpec, RuleSpec
from mlops.monitoring.alerts.alert import Alert, Observation, Window
from mlops.monitoring.alerts.lifecycle import Persistence
from mlops.monitoring.finding import Finding

#: Kinds that one look decides: it is no sample of something noisy.
_AT_ONCE = ("infrastructure", "rollout", "pipeline", "source", "no_data")
#: Kinds whose effects the spec may ask more of.
_BY_EFFECT = ("drift", "missing", "prediction", "concept")
#: Counts and burn rates carry their own minimum.
BURN = "burn"
#: What is watched cannot be measured: no sample of something noisy, either.
UNKNOWN = "unknown"
#: Families that count no rows.
_NO_ROWS = ("kpi", "resource")


def built_in(important: float) -> tuple[RuleSpec, ...]:
    """The rules behind a spec's own: pages are for what costs somebody something now. Drift of an input is
    a ticket unless the column matters and the predictions move with it."""
    return (
        RuleSpec(families=("quality", "performance", "kpi"), severity="ticket", notify="ticket"),
        RuleSpec(families=("quality", "performance", "kpi"), notify="page"),
        RuleSpec(families=("missing", "resource"), severity="page", notify="page"),
        RuleSpec(families=("drift",), importance=important, predictions_move=True, notify="page"),
        RuleSpec(),
    )


@dataclass(frozen=True)
class Policy:
    """What notifies, made from the spec by :meth:`of`."""

    rules: tuple[RuleSpec, ...]
    spec: AlertsSpec

    @classmethod
    def of(cls, spec: AlertsSpec) -> Policy:
        """The spec's rules, then the built-in ones."""
        return cls((*spec.rules, *built_in(spec.important)), spec)

    def observations(self, findings: Iterable[Finding], window: Window) -> list[Observation]:
        """What a window says of each (family, column, segment): of several tests the one that is furthest
        above its floor speaks. Windows of too few rows say nothing at all, neither bad nor good."""
        groups: dict[tuple[str, str, str], list[Finding]] = {}
        for each in findings:
            if window.rows >= self.spec.min_rows or each.test == BURN or each.family in _NO_ROWS:
                groups.setdefault((each.family, each.column or each.test, each.segment), []).append(each)
        moved = any(each.found and each.family == "prediction" for group in groups.values() for each in group)
        seen = []
        for (family, feature, segment), group in groups.items():
            loudest = max(group, key=_loudness)
            level = self._level(loudest, feature, moved, window.model)
            seen.append(
                Observation(
                    family,
                    level if level != "none" else "digest",
                    window.model,
                    window.version,
                    feature,
                    loudest.test,
                    loudest.effect,
                    loudest.floor,
                    loudest.p_adjusted,
                    loudest.found and level != "none" and self._large(loudest),
                    loudest.sentence,
                    window.start,
                    window.end,
                    window.rows,
                    loudest.reference,
                    loudest.current,
                    segment,
                )
            )
        return seen

    def _large(self, finding: Finding) -> bool:
        return finding.family not in _BY_EFFECT or abs(finding.effect) >= self.spec.effect * finding.floor

    def _level(self, finding: Finding, feature: str, moved: bool, model: str) -> str:
        return next(r.notify for r in self.rules if _fits(r, finding, feature, moved, model))

    def of_report(self, seen: Observation) -> Observation:
        """A report as the spec's own rules want it heard: those that name its kind. Who reports has said how
        bad it is, and without such a rule that counts."""
        if seen.kind not in _AT_ONCE and seen.statistic != UNKNOWN:
            return seen
        mine = (r for r in self.spec.rules if seen.kind in r.families and _names(r, seen))
        rule = next((r for r in mine if r.severity in ("any", seen.severity)), None)
        if rule is None:
            return seen
        if rule.notify == "none":
            return replace(seen, bad=False)
        return replace(seen, severity=rule.notify)

    def persistence(self, seen: Observation) -> Persistence:
        """How often this must be seen."""
        spec = self.spec
        if seen.kind in _AT_ONCE or seen.statistic in (BURN, UNKNOWN):
            return Persistence(clear_after=1, keep=timedelta())
        own = next(
            (
                r.windows
                for r in self.rules
                if (not r.families or seen.kind in r.families) and _names(r, seen)
            ),
            0,
        )
        need = own or spec.windows
        return Persistence(
            need, max(need, spec.of_windows), spec.clear_windows, timedelta(minutes=spec.keep_firing_minutes)
        )


def _loudness(finding: Finding) -> tuple[bool, float]:
    return finding.found, abs(finding.effect) / finding.floor if finding.floor else abs(finding.effect)


def _fits(rule: RuleSpec, finding: Finding, feature: str, moved: bool, model: str) -> bool:
    return (
        (not rule.families or finding.family in rule.families)
        and (not rule.importance or (finding.importance or 0.0) >= rule.importance)
        and (moved or not rule.predictions_move)
        and rule.severity in ("any", finding.severity)
        and fnmatchcase(model, rule.models)
        and fnmatchcase(feature, rule.columns)
        and fnmatchcase(finding.segment, rule.segments)
    )


def _names(rule: RuleSpec, seen: Observation) -> bool:
    return (
        fnmatchcase(seen.model, rule.models)
        and fnmatchcase(seen.feature, rule.columns)
        and fnmatchcase(seen.segment, rule.segments)
    )


#: What one kind of trouble explains of the others, for the same model and version.
_COVERS: Mapping[str, tuple[str, ...]] = {
    "pipeline": ("no_data", "quality", "missing", "drift", "prediction", "performance", "concept", "kpi"),
    "no_data": ("kpi",),
    "quality": ("missing", "drift", "prediction", "concept"),
    "missing": ("drift",),
    "performance": ("drift", "prediction", "concept"),
}


def causes(alerts: Iterable[Alert]) -> list[Alert]:
    """Those that may explain others: beyond pending, and of a kind that explains something."""
    known = ("firing", "acknowledged", "silenced")
    return [
        a for a in alerts if a.state in known and (a.kind == "source" or a.kind in _COVERS or not a.segment)
    ]


def covered_by(alert: Alert, explaining: Sequence[Alert], spec: AlertsSpec) -> Alert | None:
    """The alert that explains this one, so that nobody need hear of it: a source that is down covers all
    models on it, a broken pipeline covers data quality, that covers drift of the same column, and a worse
    model takes drift as its evidence; what all rows show covers the same in a segment.

    Args:
        explaining: As :func:`causes` gives them.
    """
    return next((each for each in explaining if each.id != alert.id and _covers(each, alert, spec)), None)


def _covers(cause: Alert, alert: Alert, spec: AlertsSpec) -> bool:
    if cause.kind == "source":
        models = next((s.models for s in spec.sources if s.name == cause.feature), ("*",))
        on_it = alert.model and any(fnmatchcase(alert.model, pattern) for pattern in models)
        return bool(on_it) and alert.kind not in ("rollout", "infrastructure", "resource")
    if alert.segment and not cause.segment and cause.kind == alert.kind:
        # What all rows show, each segment shows again.
        return (cause.model, cause.version, cause.feature) == (alert.model, alert.version, alert.feature)
    if alert.kind not in _COVERS.get(cause.kind, ()) or cause.model not in ("", alert.model):
        return False
    if cause.kind == "pipeline":
        return True
    # A column's trouble explains that column; a table's (no column: named by its test) explains all.
    column = cause.kind == "missing" or (cause.kind == "quality" and cause.feature != cause.statistic)
    return cause.version == alert.version and (not column or cause.feature == alert.feature)
