"""A plan as the Markdown of a pull request comment: pure, from the document of ``modelyard preview --json``.

What can lose data stands first. ``cost`` and ``policy`` are shown when the document has them. Every text that
comes from a plan is escaped: a resource's name can neither break the table nor mention a person.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from blueprints.errors import UsageProblem
from blueprints.layers import Layer

_SYMBOL = {"create": "+", "update": "~", "replace": "±", "delete": "−"}
#: A platform cuts or refuses longer comments (GitHub: 65,536 characters); rows past this are counted instead.
_LONGEST = 60_000
_FIELD = 300
#: What can come of a rule besides that it passed, the worst first.
_VERDICTS = ("violated", "warned", "excepted")
_MARKER = re.compile(r"<!-- modelyard \S+ -->")


def markdown(document: Mapping[str, Any], *, drift: bool = False) -> str:
    """The comment.

    Args:
        document: Of ``preview --json``; that of a preview that failed is told as a failure.
        drift: The same plan read as what differs from the committed spec.

    Raises:
        UsageProblem: The document is none of these.
    """
    if "error" in document:
        return _failure(document)
    title = f"{document['project']} ▸ {document['environment']}" if is_plan(document) else ""
    if not title:
        raise UsageProblem(
            "is no plan", where="ci comment", expected="the document of modelyard preview --json"
        )
    head = [
        f"<!-- modelyard {document['project']}/{document['environment']} -->",
        f"### Modelyard {'drift' if drift else 'preview'} · {_text(title)}",
        "",
        " · ".join(part for part in (_counts(document, drift), _cost(document), _policy(document)) if part),
        "",
    ]
    tail = [*_cost_detail(document), *_policy_detail(document)]
    room = _LONGEST - sum(len(line) + 1 for line in (*head, *tail))
    return "\n".join([*head, *_danger(document), *tail, *_table(document, room)]).rstrip() + "\n"


def is_plan(document: Mapping[str, Any]) -> bool:
    """Whether ``document`` is a plan that can be shown."""
    return all(isinstance(document.get(key), str) for key in ("project", "environment")) and isinstance(
        document.get("steps"), list
    )


def marker(text: str) -> str:
    """The first line of a comment, by which the next one finds and replaces it.

    Raises:
        UsageProblem: ``text`` is no comment of ours.
    """
    first = text.split("\n", 1)[0].strip()
    if not _MARKER.fullmatch(first):
        raise UsageProblem(
            "is no comment of modelyard ci comment",
            where="ci post",
            expected="a first line such as <!-- modelyard project/env -->",
            todo="modelyard ci comment plan.json | modelyard ci post",
        )
    return first


def changes(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The steps that change something, those that can lose data first."""
    dangerous = set(document.get("dangerous") or ())
    found = [
        step
        for step in document["steps"]
        if step.get("verb") in _SYMBOL and step.get("type") not in ("component", "stack", "provider")
    ]
    return sorted(found, key=lambda step: step.get("urn") not in dangerous)


def _failure(document: Mapping[str, Any]) -> str:
    where = f"{document.get('where')}: " if document.get("where") else ""
    lines = [f"**▲ {_text(where + str(document['error']))}**", ""]
    lines += [
        f"- {label}: {_text(str(document[key]))}"
        for label, key in (("expected", "expected"), ("do", "do"))
        if document.get(key)
    ]
    project, environment = document.get("project", "project"), document.get("environment", "environment")
    place = f"{project}/{environment}"
    return (
        "\n".join(
            [
                f"<!-- modelyard {place} -->",
                f"### Modelyard preview failed · {_text(f'{project} ▸ {environment}')}",
                "",
                *lines,
            ]
        ).rstrip()
        + "\n"
    )


def _counts(document: Mapping[str, Any], drift: bool) -> str:
    steps = changes(document)
    words = [
        f"{count} to {verb}" for verb in _SYMBOL if (count := sum(step["verb"] == verb for step in steps))
    ]
    same = (document.get("counts") or {}).get("same")
    none = "● nothing drifted" if drift else "● nothing to change"
    first = (f"△ {len(steps)} differ: " if drift else "") + "**" + ", ".join(words) + "**" if words else none
    return first + (f", {same} unchanged" if same is not None else "")


def _danger(document: Mapping[str, Any]) -> list[str]:
    urns = set(document.get("dangerous") or ())
    lost = [step for step in document["steps"] if step.get("urn") in urns]
    named = [_text(f"{step.get('type')} {step.get('name')} ({step.get('verb')})") for step in lost]
    return ["> **▲ Data may be lost**", ">", *(f"> - {each}" for each in named), ""] if named else []


def _table(document: Mapping[str, Any], room: int) -> list[str]:
    steps = changes(document)
    if not steps:
        return []
    urns = set(document.get("dangerous") or ())
    lines = ["| | resource | why |", "|---|---|---|"]
    shown = 0
    for title, group in _by_layer(steps, urns):
        rows = [f"| | **{_text(title)}** | |", *(_row(step) for step in group)]
        for row in rows:
            room -= len(row) + 1
            if room < 0:
                return [*lines, "", f"… and {len(steps) - shown} more: modelyard preview shows all"]
            lines.append(row)
            shown += row is not rows[0]
    return lines


def _by_layer(
    steps: Sequence[Mapping[str, Any]], urns: set[str]
) -> Iterable[tuple[str, list[Mapping[str, Any]]]]:
    """Groups with a heading: what can lose data, then the layers in the order they come up."""
    rest = [step for step in steps if step.get("urn") not in urns]
    groups = [("▲ data may be lost", [step for step in steps if step.get("urn") in urns])]
    known = [layer.value for layer in Layer]
    others = sorted({str(step.get("layer") or "environment") for step in rest} - set(known))
    for layer in (*known, *others):
        groups.append((layer, [step for step in rest if str(step.get("layer") or "environment") == layer]))
    return [(title, group) for title, group in groups if group]


def _row(step: Mapping[str, Any]) -> str:
    why = str(step.get("because") or ", ".join(map(str, step.get("changed") or ())))
    verb = str(step["verb"])
    resource = f"{_text(str(step.get('type')))} **{_text(str(step.get('name')))}**"
    return f"| {_SYMBOL[verb]} {verb} | {resource} | {_text(why)} |"


def _cost(document: Mapping[str, Any]) -> str:
    """The total a month, and its difference to what is up now (``cost_before``)."""
    total = _range(document.get("cost"))
    if total is None:
        return ""
    unit = str(document["cost"].get("currency") or "USD")
    shown = f"cost {_amounts(*total)} {_text(unit)} a month"
    before = _range(document.get("cost_before"))
    if before is None or before == total:
        return shown
    return f"{shown} (**{_amounts(total[0] - before[0], total[1] - before[1], sign='+')}**)"


def _range(estimate: object) -> tuple[float, float] | None:
    total = estimate.get("total") if isinstance(estimate, Mapping) else None
    low, high = (total.get("low"), total.get("high")) if isinstance(total, Mapping) else (None, None)
    return (low, high) if isinstance(low, int | float) and isinstance(high, int | float) else None


def _amounts(low: float, high: float, sign: str = "") -> str:
    shown = [f"{amount:{sign},.2f}".replace(",", "\u2009") for amount in (low, high)]
    return shown[0] if shown[0] == shown[1] else f"{shown[0]} to {shown[1]}"


def _cost_detail(document: Mapping[str, Any]) -> list[str]:
    cost = document.get("cost")
    missing = cost.get("unpriced") if isinstance(cost, Mapping) else None
    names = [_text(str(each.get("resource"))) for each in missing or () if isinstance(each, Mapping)]
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return [f"Not priced: {', '.join(names[:20])}{more}", ""] if names else []


def _policy(document: Mapping[str, Any]) -> str:
    results = document.get("policy")
    if not isinstance(results, Sequence) or not results:
        return ""
    count = {verdict: sum(each.get("verdict") == verdict for each in results) for verdict in _VERDICTS}
    said = [f"**{count[verdict]} {verdict}**" for verdict in _VERDICTS if count[verdict]]
    symbol = "▲" if count["violated"] else "△" if count["warned"] else "●"
    return ", ".join([f"policy {symbol} {len(results)} rules", *said])


def _policy_detail(document: Mapping[str, Any]) -> list[str]:
    found = [
        f"- **{_text(str(each['rule']))}** · {_text(str(at['resource']))} · {_text(str(at['what']))}"
        + (f"; let pass until {_text(str(at['until']))}: {_text(str(at['reason']))}" if at["until"] else "")
        for each in document.get("policy") or ()
        for at in each["findings"]
    ]
    if len(found) > 50:
        found = [*found[:50], f"- … and {len(found) - 50} more"]
    return ["**Policy**", "", *found, ""] if found else []


def _text(value: str) -> str:
    """``value`` as plain text on one line: no HTML, no table cell, no mention, no emphasis of its own."""
    line = " ".join(value.split())
    line = line if len(line) <= _FIELD else line[: _FIELD - 1] + "…"
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = re.sub(r"([\\`*_\[\]|~#!])", r"\\\1", line)
    # A zero-width space after the sign: the words stay readable and nobody is called.
    return re.sub(r"@(?=\w)", "@\u200b", line)
