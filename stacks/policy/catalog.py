"""Every rule of the pack, by family."""

from __future__ import annotations

from stacks.policy import access, buckets, credentials, databases, edge, encryption, images, protection, tags
from stacks.policy import tracking as mlflow
from stacks.policy.rule import Rule

#: Family, as documents call it -> its rules.
FAMILIES: dict[str, tuple[Rule, ...]] = {
    "databases and ports": databases.RULES,
    "buckets": buckets.RULES,
    "encryption at rest": encryption.RULES,
    "TLS": edge.RULES,
    "images": images.RULES,
    "secrets": credentials.RULES,
    "the MLflow server": mlflow.RULES,
    "protected environments": protection.RULES,
    "access": access.RULES,
    "tags and labels": tags.RULES,
}
RULES: tuple[Rule, ...] = tuple(rule for rules in FAMILIES.values() for rule in rules)
BY_ID: dict[str, Rule] = {rule.id: rule for rule in RULES}


def rules_of(blueprint: str) -> tuple[Rule, ...]:
    """The rules of the pack, and those the blueprint brings.

    Raises:
        Problem: There is no such blueprint, or it lacks what it names.
    """
    from blueprints.catalog import find

    return (*RULES, *find(blueprint).attribute("rules", ()))
