"""``modelyard monitor``: what is known of the models, a policy over the past, thresholds for a budget, rules
and dashboards."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blueprints.errors import ExitCode, UsageProblem
from tui.cli.output import Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blueprints.alerting import AlertsSpec
    from mlops.monitoring.alerts import Alert
    from mlops.monitoring.alerts.fatigue import Fatigue
    from mlops.monitoring.alerts.history import Past
    from tui.session import Session


#: A day of one model, in weeks.
_DAY = 1 / 7
#: Windows that are shown.
_WINDOWS = 40


def add(parser: ArgumentParser, name: str) -> None:
    """Declare the options."""
    actions = ("models", "show", "figures", "fatigue", "replay", "tune", "rules", "dashboards")
    parser.add_argument("action", nargs="?", choices=actions, default="models")
    parser.add_argument(
        "policy",
        nargs="?",
        metavar="MODEL|POLICY",
        help="of show: the model; else a file with keys of monitoring.alerts; without: the environment's",
    )
    parser.add_argument("--over", metavar="DAYS", default="30d", help="the past: 30d, 12w (30d)")
    parser.add_argument("--budget", metavar="N/week", default="", help="of tune: alerts a week, all models")


def run(args: Namespace, out: Output) -> int:
    """Figures and files; changes nothing."""
    from tui.session import Session

    with Session.open(args.folder, args.environment) as session:
        if args.action == "models":
            return _models(session, out)
        if args.action == "show":
            return _show(session, args, out)
        if args.action == "figures":
            return _figures(session, out)
        if args.action == "fatigue":
            return _fatigue(session, args, out)
        if args.action == "replay":
            return _replay(session, args, out)
        if args.action == "tune":
            return _tune(session, args, out)
        return _generate(session, args, out)


def _models(session: Session, out: Output) -> int:
    from tui.monitoring import rows

    found = rows(session.monitor(), _WINDOWS)
    out.table(
        ("model", "version", "alerts", "behind", "what is known"),
        [(r.state.model, r.state.version or "–", len(r.alerts), r.state.behind, r.sentence) for r in found],
    )
    if not found:
        out.say("no model is registered, or the monitor has not looked yet: modelyard demo")
    out.document(
        {"models": [{**vars(r.state), "alerts": len(r.alerts), "sentence": r.sentence} for r in found]}
    )
    return ExitCode.DONE


def _show(session: Session, args: Namespace, out: Output) -> int:
    from tui.monitoring import STEPS, moved, rows, shown, step
    from tui.widgets.words import number

    monitor = session.monitor()
    known = {row.state.model: row for row in rows(monitor, _WINDOWS)}
    row = known.get(args.policy or "")
    if row is None:
        named = ", ".join(sorted(known)) or "none is watched yet"
        what = f"no model {args.policy} is watched" if args.policy else "which model?"
        raise UsageProblem(what, where="monitor show", expected=named)
    heat = monitor.heat(row.state.model, _WINDOWS)
    out.line(row.sentence)
    if most := moved(heat):
        out.line(f"Moved most now: {most}")
    out.line()
    lines = []
    for name, levels, tests in zip(heat.columns, heat.levels, heat.tests, strict=True):
        strip = "".join(" " if level is None else STEPS[step(level)][1] for level in levels)
        lines.append((shown(name), strip, number(levels[-1], 2), tests[-1] or "–"))
    out.table(("feature", f"last {len(heat.windows)} windows", "now", "test"), lines)
    out.line("  ".join(f"{mark} {words}" for _, mark, words in STEPS))
    out.line()
    newest = {(each.metric, each.kind): each for each in row.quality}
    out.table(
        ("metric", "kind", "value", "interval", "reference", "labelled"),
        [
            (p.metric, p.kind, number(p.value), f"{number(p.low)} to {number(p.high)}", number(p.expected),
             f"{p.labelled} of {p.rows}")
            for p in newest.values()
        ],
    )  # fmt: skip
    out.document(
        {"model": vars(row.state), "sentence": row.sentence, "alerts": row.alerts, "heat": heat,
         "performance": row.quality}
    )  # fmt: skip
    return ExitCode.DONE


def _figures(session: Session, out: Output) -> int:
    from tui.figures import figures
    from tui.widgets.words import ago

    found = figures(session.monitor(), _WINDOWS)
    out.table(
        ("figure", "of", "now", "off", "usual", "until", "alerts"),
        [
            (f.series.name, f.series.model or f.kind, f.value, f.off, f.usual, ago(f.last.end), len(f.alerts))
            for f in found
        ],
    )
    if not found:
        out.say("nothing is measured yet; business figures are in the spec: monitoring.kpis")
    out.document({"figures": [{"kind": f.kind, **vars(f.series), "alerts": f.alerts} for f in found]})
    return ExitCode.DONE


def _fatigue(session: Session, args: Namespace, out: Output) -> int:
    figures = session.monitor().fatigue(_days(args.over))
    _print(figures, out)
    out.document(_plain(figures))
    return ExitCode.DONE


def _replay(session: Session, args: Namespace, out: Output) -> int:
    from mlops.monitoring.alerts.replay import replay

    spec = _policy(session, args.policy)
    past, said = _past(session, args.over)
    result = replay(spec, past, said)
    _alerts(result.alerts, out)
    _print(result.fatigue, out)
    for alert in result.lost:
        out.line(f"would be missed, was useful: {alert.id} {alert.summary}")
    out.document(
        {
            "windows": len(past),
            "fatigue": _plain(result.fatigue),
            "alerts": result.alerts,
            "lost": result.lost,
        }
    )
    return ExitCode.DONE


def _tune(session: Session, args: Namespace, out: Output) -> int:
    """0: thresholds within the budget. 1: none are."""
    from mlops.monitoring.alerts.replay import tune

    budget = _budget(args.budget)
    spec = _policy(session, args.policy)
    past, said = _past(session, args.over)
    found = tune(spec, past, said, budget)
    keys = {name: getattr(found.spec, name) for name in ("windows", "of_windows", "effect")}
    for name, value in keys.items():
        out.line(f"monitoring.alerts.{name}={value}")
    out.line()
    out.line(f"{'a week':<22} {found.per_week:.2f} of {budget:g}")
    _print(found.replayed.fatigue, out)
    for alert in found.replayed.lost:
        out.line(f"would be missed, was useful: {alert.id} {alert.summary}")
    if not found.fits:
        out.say("no thresholds are within the budget: these are the quietest")
    out.document(
        {
            "set": {f"monitoring.alerts.{name}": value for name, value in keys.items()},
            "fits": found.fits,
            "per_week": found.per_week,
            "fatigue": _plain(found.replayed.fatigue),
            "lost": found.replayed.lost,
        }
    )
    return ExitCode.DONE if found.fits else ExitCode.FAILED


def _generate(session: Session, args: Namespace, out: Output) -> int:
    import sys

    from mlops.monitoring.alerts import rules

    spec = _policy(session, args.policy)
    if args.action == "rules":
        text = rules.prometheus(spec)
        if out.as_json:
            import yaml

            out.document(yaml.safe_load(text))
        else:
            sys.stdout.write(text)
        return ExitCode.DONE
    sys.stdout.write(json.dumps(rules.dashboard(spec), indent=2) + "\n")
    return ExitCode.DONE


def _policy(session: Session, file: str | None) -> AlertsSpec:
    """The policy in a file, its other keys as in the environment."""
    from blueprints.keys import validate

    current: AlertsSpec = session.spec().monitoring.alerts
    if not file:
        return current
    import yaml

    try:
        document = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageProblem(f"cannot be read ({type(error).__name__})", where=file) from None
    except yaml.YAMLError:
        raise UsageProblem("is no YAML", where=file, expected="keys of monitoring.alerts") from None
    if not isinstance(document, dict):
        raise UsageProblem("is no mapping", where=file, expected="keys of monitoring.alerts")
    merged = current.model_dump(mode="json") | document
    return validate({"monitoring": {"alerts": merged}}, where=file).monitoring.alerts


def _past(session: Session, over: str) -> tuple[Sequence[Past], Sequence[Alert]]:
    from mlops.monitoring.alerts.history import past

    monitor = session.monitor()
    windows = [past(row) for row in monitor.history(_days(over))]
    if not windows:
        raise UsageProblem(f"no window was analysed in the last {over}", where="--over")
    return windows, monitor.alerts()


def _days(text: str) -> int:
    number, unit = text[:-1], text[-1:]
    if not number.isascii() or not number.isdigit() or unit not in ("d", "w") or not 0 < int(number) <= 3650:
        raise UsageProblem(f"{text!r} is no stretch of time", where="--over", expected="30d or 12w")
    return int(number) * (7 if unit == "w" else 1)


def _budget(text: str) -> float:
    try:
        budget = float(text.removesuffix("/week"))
    except ValueError:
        budget = -1.0
    if not 0 <= budget < 1e6:
        raise UsageProblem(f"{text!r} is no budget", where="--budget", expected="alerts a week: 3/week")
    return budget


def _alerts(alerts: Sequence[Alert], out: Output) -> None:
    from tui.cli.commands.alerts import SYMBOLS

    out.table(
        ("", "from", "model", "feature", "what"),
        (
            (
                SYMBOLS.get(a.severity, "△"),
                (a.fired_at or a.first_seen).isoformat(" ", "minutes"),
                a.subject,
                a.feature,
                a.summary,
            )
            for a in alerts
        ),
    )
    out.line()


def _print(figures: Fatigue, out: Output) -> None:
    precision = "nobody judged any" if figures.precision is None else f"{figures.precision:.0%}"
    waited = figures.seconds_to_acknowledge
    rows = (
        ("alerts", f"{figures.alerts} ({figures.pages} pages, {figures.tickets} tickets)"),
        ("model weeks", f"{figures.model_weeks:.2f}"),
        # A rate a week out of the first minutes would be a large number that means nothing.
        ("alerts a model week", f"{figures.per_model_week:.2f}" if figures.model_weeks >= _DAY else "–"),
        ("precision", f"{precision} ({figures.useful} useful, {figures.noise} noise)"),
        ("time to acknowledge", "nobody did" if waited is None else f"{waited / 60:.0f} min (median)"),
    )
    for name, value in rows:
        out.line(f"{name:<22} {value}")


def _plain(figures: Fatigue) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(figures) | {"per_model_week": figures.per_model_week, "precision": figures.precision}
