"""The conformance suite of blueprints: what holds for the built-in ones has to hold for an extension.

``modelyard blueprint check NAME`` runs it; an extension's own tests do with ``assert not failures(NAME)``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from blueprints import pricebook
from blueprints.catalog import Blueprint, find
from blueprints.errors import Problem
from blueprints.layers import Layer
from stacks.policy.catalog import BY_ID
from stacks.policy.rule import Example, Rule
from stacks.project import Project

PROJECT, ENVIRONMENT = "conformance", "check"


@dataclass(frozen=True)
class Point:
    """One thing the suite looks at.

    Attributes:
        name: A word or two.
        well: Whether it is as it should be.
        fact: What was found.
        todo: What its author can do; empty when it is well.
    """

    name: str
    well: bool
    fact: str
    todo: str = ""


#: Settings of the environment that is brought up: none but what the guard needs.
_PROTECTED = ("protected=yes",)


def failures(name: str, settings: tuple[str, ...] = (), *, apply: bool = True) -> list[Point]:
    """The points that do not hold; for tests. Arguments as for :func:`check`."""
    return [point for point in check(name, settings, apply=apply) if not point.well]


def check(name: str, settings: tuple[str, ...] = (), *, apply: bool = True) -> Iterator[Point]:
    """Every point as it is decided. What fails keeps those from running that need it.

    Args:
        name: Of the blueprint.
        settings: ``key=value`` of the spec, where its defaults cannot be brought up.
        apply: Bring an environment up in a temporary folder, look at it and take it down with its data. What
            that costs and touches is the blueprint's.

    Raises:
        UsageProblem: There is no such blueprint, or a setting does not fit.
    """
    blueprint = find(name)
    described = [*_described(name, blueprint)]
    yield from described
    if not all(point.well for point in described):
        return
    with tempfile.TemporaryDirectory(prefix="modelyard-check-") as folder:
        project = _project(Path(folder) / PROJECT, name, settings)
        previewed = [*_previewed(project)]
        yield from previewed
        if apply and all(point.well for point in previewed):
            yield from _applied(project)


def _project(root: Path, name: str, settings: tuple[str, ...]) -> Project:
    from blueprints.keys import assign
    from blueprints.spec import EnvironmentSpec

    spec = assign(EnvironmentSpec(blueprint=name), (*_PROTECTED, *settings))
    return Project.create(root, PROJECT, ENVIRONMENT, spec)


def _point(name: str, judge: Callable[[], str], fact: str, todo: str) -> Point:
    """``judge`` says what is wrong, or nothing; a Problem says it in its own words."""
    try:
        wrong = judge()
    except Problem as problem:
        wrong, todo = (
            f"{problem.where}: {problem.what}" if problem.where else problem.what,
            problem.todo or todo,
        )
    except Exception as error:  # another package's code: whatever it raises is a fact about it
        wrong = f"{type(error).__name__}: {error}"
    return Point(name, not wrong, wrong or fact, todo if wrong else "")


def _described(name: str, blueprint: Blueprint) -> Iterator[Point]:
    yield _point(
        "catalog", lambda: _entry(name, blueprint), f"{name}: {blueprint.title}", "complete the entry"
    )
    yield _point(
        "layers", lambda: _layers(blueprint), f"{len(Layer)} described", "a few words for each layer"
    )
    yield _point("docs", lambda: _docs(blueprint), blueprint.docs, "name a page: docs='package:file.md'")
    yield _point(
        "keys", lambda: _keys(blueprint), "each says what it means", "a docstring and a valid default each"
    )
    yield _point("prices", lambda: _prices(blueprint), "a price book, or none of its own", "docs/cost.md")
    yield _point("rules", lambda: _rules(blueprint), "each with fixtures", "a fails and a passes that do so")
    yield _point("build", lambda: _build(blueprint), blueprint.target, "def build(spec, project, name, root)")


def _entry(name: str, blueprint: Blueprint) -> str:
    if blueprint.name != name:
        return f"the entry point is called {name}, the blueprint {blueprint.name}"
    if not blueprint.built:
        return "it says that it cannot be built yet"
    wrong = [
        word
        for word, well in (
            ("title", bool(blueprint.title.strip())),
            ("needs", bool(blueprint.needs)),
            ("cost", 0 <= blueprint.cost.low <= blueprint.cost.high),
            ("minutes", blueprint.minutes > 0),
        )
        if not well
    ]
    return f"{', '.join(wrong)}: empty, or not possible" if wrong else ""


def _layers(blueprint: Blueprint) -> str:
    missing = [layer.value for layer in Layer if not blueprint.layers.get(layer, "").strip()]
    return f"nothing is said about {', '.join(missing)}" if missing else ""


def _docs(blueprint: Blueprint) -> str:
    return "" if blueprint.text("docs").strip() else "there is no page about it"


def _keys(blueprint: Blueprint) -> str:
    from blueprints.keys import keys, value_at
    from blueprints.spec import EnvironmentSpec, Section

    settings: Any = blueprint.attribute("settings", Section)
    if not (isinstance(settings, type) and issubclass(settings, Section)):
        return f"{blueprint.settings} is no blueprints.spec.Section"
    spec = EnvironmentSpec(blueprint=blueprint.name)
    own = [key for key in keys(blueprint=blueprint.name) if key.path.startswith("extension.")]
    mute = [key.path for key in own if not key.meaning.strip()]
    if mute:
        return f"no meaning: {', '.join(mute)}"
    return "" if all(value_at(spec, key.path) == key.default for key in own) else "a default is not kept"


def _prices(blueprint: Blueprint) -> str:
    book = pricebook.packaged()
    if blueprint.prices:
        book.overlaid(pricebook.parse(blueprint.text("prices"), blueprint.prices), blueprint.prices)
    charges: Any = blueprint.attribute("charges", {})
    odd = [str(token) for token, rule in charges.items() if not callable(rule) or token.count(":") != 2]
    return f"no rule for a type token: {', '.join(odd)}" if odd else ""


def _rules(blueprint: Blueprint) -> str:
    rules: tuple[Rule, ...] = blueprint.attribute("rules", ())
    for rule in rules:
        if rule.id in BY_ID or [each.id for each in rules].count(rule.id) > 1:
            return f"{rule.id}: another rule is called that"
        silent = [word for word in ("what", "why", "fix") if not getattr(rule, word, "").strip()]
        if silent:
            return f"{rule.id}: no {', '.join(silent)}"
        if not _found(rule, rule.fails):
            return f"{rule.id}: its failing fixture passes"
        if _found(rule, rule.passes):
            return f"{rule.id}: its passing fixture fails"
    return ""


def _found(rule: Rule, stack: Example) -> bool:
    return any(True for _ in rule.findings(stack.resources, stack.setting))


def _build(blueprint: Blueprint) -> str:
    return "" if callable(getattr(blueprint.attribute("target"), "build", None)) else "there is no build()"


def _previewed(project: Project) -> Iterator[Point]:
    from stacks.engine import Engine

    engine = Engine(project, ENVIRONMENT)
    plans: list[Any] = []

    def twice() -> str:
        plans.extend(engine.preview(over_budget=True) for _ in range(2))
        return "" if plans[0].digest == plans[1].digest else "two previews of one spec make two plans"

    yield _point(
        "preview", twice, "two previews, one plan", "nothing random, no clock, no order of sets in build()"
    )
    if plans:
        cost = plans[0].cost
        unknown = sorted({each.type for each in cost.unpriced if each.why.startswith("no rule says")})
        yield _point(
            "billing",
            lambda: f"nothing says what these cost: {', '.join(unknown)}" if unknown else "",
            f"{len(cost.items)} priced, {cost.free} free, {len(cost.unpriced)} listed as not priced",
            "charges='module:NAME', a map from type token to rule",
        )


def _applied(project: Project) -> Iterator[Point]:
    from stacks.engine import Engine

    engine = Engine(project, ENVIRONMENT)
    up = _point("up", lambda: "" if engine.up().steps else "nothing came up", "comes up", "modelyard preview")
    try:
        yield up
        if up.well:
            yield _point(
                "environment",
                lambda: _document(engine),
                "build() returns what the contract accepts",
                "return an Output of blueprints.environment.Environment as plain data",
            )
            yield _point(
                "secrets", lambda: _plain(engine), "none in plain in the state", "pulumi.Output.secret(…)"
            )
            yield _point("protection", lambda: _guard(engine), "data is guarded", "protect=spec.protected")
    finally:
        engine.destroy(delete_data=True)


def _document(engine: Any) -> str:
    found = engine.outputs()
    expected = (PROJECT, ENVIRONMENT, engine.project.spec(ENVIRONMENT).blueprint)
    got = (found.project, found.name, found.blueprint)
    return "" if got == expected else f"project, name and blueprint are {got}, not {expected}"


def _plain(engine: Any) -> str:
    """Every secret of the contract, sought in the recorded state as the engine writes it."""
    state = engine.recorded_text()
    shown = [key for key, value in _secrets(engine.outputs()) if value and value in state]
    return f"in plain in the state: {', '.join(shown)}" if shown else ""


def _secrets(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if hasattr(value, "get_secret_value"):
        text = value.get_secret_value()
        # A URL is secret for the password in it; that of a file has none.
        yield path, (urlsplit(text).password or "") if "://" in text else text
    elif hasattr(type(value), "model_fields"):
        for name in type(value).model_fields:
            yield from _secrets(getattr(value, name), f"{path}.{name}".lstrip("."))
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _secrets(item, f"{path}.{name}")


def _guard(engine: Any) -> str:
    bare = [each.name for each in engine.resources() if each.stateful and not each.protected]
    return f"not protected in a protected environment: {', '.join(bare)}" if bare else ""
