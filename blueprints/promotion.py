"""From one environment to the next: what of a configuration moves, and what stays."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from blueprints.errors import UsageProblem
from blueprints.keys import differences, validate
from blueprints.spec import EnvironmentSpec

#: Keys that make an environment what it is, and are never another's.
OWN = ("blueprint", "protected", "promotion.*", "drift.*")


@dataclass(frozen=True)
class Promotion:
    """What a promotion does to the environment that takes it.

    Attributes:
        spec: The target's spec afterwards.
        changed: ``(key, before, after)`` of what moves.
        kept: The same of what differs and stays as the target has it.
    """

    spec: EnvironmentSpec
    changed: tuple[tuple[str, Any, Any], ...]
    kept: tuple[tuple[str, Any, Any], ...]


def promote(source: str, spec: EnvironmentSpec, target: EnvironmentSpec) -> Promotion:
    """The configuration ``spec`` of the environment ``source``, carried over to ``target``.

    Raises:
        UsageProblem: The target does not take over from that environment, or the two do not fit together.
    """
    allowed = target.promotion.accepts_from
    if allowed and source not in allowed:
        raise UsageProblem(
            f"does not take over from {source}",
            where="promotion.accepts_from",
            expected=" or ".join(allowed),
            todo=f"promote from there, or add {source} to promotion.accepts_from",
        )
    patterns = (*OWN, *target.promotion.keep)
    changed, kept = [], []
    data = target.model_dump(mode="json")
    for path, before, after in differences(target, spec):
        if any(fnmatchcase(path, pattern) for pattern in patterns):
            kept.append((path, before, after))
            continue
        changed.append((path, before, after))
        *parents, leaf = path.split(".")
        section = data
        for parent in parents:
            section = section[parent]
        section[leaf] = list(after) if isinstance(after, tuple) else after
    return Promotion(validate(data), tuple(changed), tuple(kept))
