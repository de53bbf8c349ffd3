"""Who may do what: least privilege."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stacks.policy.buckets import statements
from stacks.policy.rule import UNKNOWN, Resource, Rule, Setting, Severity, example

_POLICY = "aws:iam/policy:Policy"
_ROLE = "aws:iam/role:Role"
_ATTACHMENTS = frozenset(
    {
        "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
        "aws:iam/userPolicyAttachment:UserPolicyAttachment",
        "aws:iam/groupPolicyAttachment:GroupPolicyAttachment",
        "aws:iam/policyAttachment:PolicyAttachment",
    }
)
_POLICIES = frozenset(
    {
        _POLICY,
        _ROLE,
        "aws:iam/rolePolicy:RolePolicy",
        "aws:iam/userPolicy:UserPolicy",
        "aws:iam/groupPolicy:GroupPolicy",
    }
)
_ROLES = frozenset({f"kubernetes:rbac.authorization.k8s.io/v1:{kind}" for kind in ("Role", "ClusterRole")})
_BINDINGS = frozenset(
    {f"kubernetes:rbac.authorization.k8s.io/v1:{kind}" for kind in ("RoleBinding", "ClusterRoleBinding")}
)
_EVERYTHING = ("AdministratorAccess", "IAMFullAccess", "PowerUserAccess")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _allowed(resource: Resource) -> Iterator[Mapping[str, Any]]:
    """Every statement of the resource's own policies that allows something."""
    inline = [each.get("policy") for each in resource.maps("inlinePolicies")]
    for policy in (resource.get("policy"), *inline):
        yield from (each for each in statements(policy) if each.get("Effect") == "Allow")


def _document(action: str, where: str) -> str:
    return f'{{"Statement": [{{"Effect": "Allow", "Action": "{action}", "Resource": "{where}"}}]}}'


class NoWildcard(Rule):
    """Nobody may do everything to everything."""

    id = "iam-no-wildcard"
    what = "No policy allows every action on every resource, and no role is an administrator."
    why = (
        "Whoever takes over one such task owns the account: every bucket, every key, every other environment."
    )
    fix = "Name the actions and the ARNs the part needs; on Kubernetes the verbs and resources."
    types = _POLICIES | _ATTACHMENTS | _ROLES | _BINDINGS
    fails = example(_POLICY, policy=_document("*", "*"))
    passes = example(_POLICY, policy=_document("s3:GetObject", "arn:aws:s3:::artifacts/*"))

    def check(self, resource: Resource, setting: Setting) -> Iterator[str]:
        for statement in _allowed(resource):
            everything = "*" in _list(statement.get("Action")) or "NotAction" in statement
            everywhere = "*" in _list(statement.get("Resource")) or "NotResource" in statement
            if everything and everywhere:
                yield "a statement allows every action on every resource"
        for arn in (resource.get("policyArn"), *_list(resource.get("managedPolicyArns"))):
            if isinstance(arn, str) and arn.rsplit("/", 1)[-1] in _EVERYTHING:
                yield f"attaches {arn.rsplit('/', 1)[-1]}"
        if resource.type in _ROLES:
            for rule in resource.maps("rules"):
                if "*" in _list(rule.get("verbs")) and "*" in _list(rule.get("resources")):
                    yield "a rule allows every verb on every resource"
        if resource.type in _BINDINGS and resource.get("roleRef.name") == "cluster-admin":
            yield "binds cluster-admin"


class NarrowActions(Rule):
    """Wildcards of one service go with named resources."""

    id = "iam-narrow-actions"
    severity = Severity.ADVISORY
    what = "A policy that allows all actions of a service names the resources."
    why = "s3:* on * reads the data of every other environment in the account."
    fix = "Name the ARNs, or name the actions (List and Describe actions may need *)."
    types = _POLICIES
    fails = example(_POLICY, policy=_document("s3:*", "*"))
    passes = example(_POLICY, policy=_document("s3:*", "arn:aws:s3:::artifacts/*"))

    def check(self, resource: Resource, setting: Setting) -> Iterator[str]:
        for statement in _allowed(resource):
            wide = [each for each in _list(statement.get("Action")) if str(each).endswith(":*")]
            if wide and "*" in _list(statement.get("Resource")):
                yield f"{', '.join(map(str, wide))} on every resource"


class TrustNamed(Rule):
    """A role says who may take it."""

    id = "iam-trust-named"
    what = "A role is assumed by named principals; a federated one names the subject."
    why = "A trust in everybody, or in every repository of a CI host, hands the role to strangers."
    fix = "Name the account or service; for OIDC add a condition on the provider's :sub."
    types = frozenset({_ROLE})
    fails = example(
        _ROLE,
        assumeRolePolicy='{"Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, '
        '"Action": "sts:AssumeRole"}]}',
    )
    passes = example(
        _ROLE,
        assumeRolePolicy='{"Statement": [{"Effect": "Allow", "Principal": '
        '{"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}]}',
    )

    def check(self, resource: Resource, setting: Setting) -> Iterator[str]:
        for statement in statements(resource.get("assumeRolePolicy")):
            principal, condition = statement.get("Principal"), statement.get("Condition")
            if statement.get("Effect") != "Allow":
                continue
            who = principal if isinstance(principal, Mapping) else {"AWS": principal}
            if "*" in _list(who.get("AWS")) and not condition:
                yield "every AWS account may assume it"
            if who.get("Federated") and condition is not UNKNOWN and not _subject_named(condition):
                yield "a federated principal without a condition on its subject"


def _subject_named(condition: Any) -> bool:
    tests = condition.values() if isinstance(condition, Mapping) else ()
    for test in tests:
        for key, value in test.items() if isinstance(test, Mapping) else ():
            if str(key).lower().endswith(":sub"):
                return _list(value) != ["*"]
    return False


RULES: tuple[Rule, ...] = (NoWildcard(), NarrowActions(), TrustNamed())
