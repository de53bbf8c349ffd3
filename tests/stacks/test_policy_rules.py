"""Every rule: complete, with a failing and a passing fixture; and the cases a fixture does not show."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from stacks.policy.catalog import BY_ID, FAMILIES, RULES
from stacks.policy.reference import renewed
from stacks.policy.rule import UNKNOWN, Example, Resource, Rule, Setting, Severity

DOCUMENT = Path(__file__).parents[2] / "docs" / "policy.md"
EVERY_RULE = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)


def found(rule: Rule, stack: Example) -> list[str]:
    return [what for _, what in rule.findings(stack.resources, stack.setting)]


@EVERY_RULE
def test_a_rule_is_complete(rule: Rule) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)+", rule.id)
    assert rule.severity in Severity
    for text in (rule.what, rule.why, rule.fix):
        assert len(text) > 20
        assert text.endswith((".", "…"))
        assert "\n" not in text
    assert all(token.count(":") == 2 for token in rule.types)
    assert isinstance(rule.fails, Example), "no failing fixture"
    assert isinstance(rule.passes, Example), "no passing fixture"


@EVERY_RULE
def test_its_failing_fixture_fails_and_its_passing_one_passes(rule: Rule) -> None:
    assert {each.type for each in rule.fails.resources} & rule.types
    assert {each.type for each in rule.passes.resources} & rule.types
    assert found(rule, rule.fails)
    assert found(rule, rule.passes) == []


def unknown_from(value: Any, depth: int) -> Any:
    """``value`` with everything from ``depth`` on not known yet."""
    if depth == 0:
        return UNKNOWN
    if isinstance(value, Mapping):
        return {key: unknown_from(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list):
        return [unknown_from(item, depth - 1) for item in value]
    return value


@EVERY_RULE
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_what_a_preview_cannot_know_is_never_a_crash(rule: Rule, depth: int) -> None:
    for stack in (rule.fails, rule.passes):
        hidden = [
            Resource(each.type, each.name, unknown_from(each.props, depth), each.urn, each.depends)
            for each in stack.resources
        ]
        findings = list(rule.findings(hidden, stack.setting))
        if stack is rule.passes:
            assert findings == []


@EVERY_RULE
@pytest.mark.parametrize("nonsense", [None, "x", 3, [], [None], ["x"], {}, {"x": [None]}, '[{"x": 1}]', "{}"])
def test_a_property_of_the_wrong_shape_is_never_a_crash(rule: Rule, nonsense: Any) -> None:
    for each in rule.fails.resources:
        props = dict.fromkeys(each.props, nonsense)
        list(rule.findings([Resource(each.type, each.name, props)], Setting(protected=True)))


def test_ids_are_unique() -> None:
    assert len(BY_ID) == len(RULES) == sum(map(len, FAMILIES.values()))


def test_the_document_says_what_the_rules_say() -> None:
    text = DOCUMENT.read_text()
    assert text == renewed(text), "run: python -m stacks.policy.reference docs/policy.md"
    assert f"policy ● {len(RULES)} rules" in text


def pod(**container: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": [{"name": "main", **container}]}}}}


def task(**container: Any) -> dict[str, Any]:
    return {"containerDefinitions": json.dumps([{"name": "main", **container}])}


def allow(action: Any, where: Any) -> str:
    return json.dumps({"Statement": {"Effect": "Allow", "Action": action, "Resource": where}})


def trust(principal: Any, condition: Any = None) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    return {
        "assumeRolePolicy": json.dumps(
            {"Statement": [{**statement, **({"Condition": condition} if condition else {})}]}
        )
    }


SERVICE, FILE = "modelyard:local:Service", "modelyard:local:File"
TASK, DEPLOYMENT = "aws:ecs/taskDefinition:TaskDefinition", "kubernetes:apps/v1:Deployment"
INGRESS, LISTENER = "kubernetes:networking.k8s.io/v1:Ingress", "aws:alb/listener:Listener"
GROUP_RULE = "aws:ec2/securityGroupRule:SecurityGroupRule"
INGRESS_RULE = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
ROLE, RDS = "aws:iam/role:Role", "aws:rds/instance:Instance"
DIGEST = "@sha256:" + "a" * 64
GITHUB = {"Federated": "arn:aws:iam::1:oidc-provider/token.actions.githubusercontent.com"}
SUBJECT = {"StringLike": {"token.actions.githubusercontent.com:sub": "repo:team/yard:*"}}
AUDIENCE = {"StringEquals": {"token.actions.githubusercontent.com:aud": "sts.amazonaws.com"}}
TLS = {"tls": [{"hosts": ["*.example.com"]}]}

CASES: list[tuple[str, str, dict[str, Any], bool]] = [
    (
        "database-not-public",
        "kubernetes:core/v1:Service",
        {"spec": {"type": "NodePort", "ports": [{"port": 5432}]}},
        True,
    ),
    ("database-not-public", "kubernetes:core/v1:Service", {"spec": {"ports": [{"port": 5432}]}}, False),
    (
        "no-open-ingress",
        GROUP_RULE,
        {
            "type": "ingress",
            "protocol": "tcp",
            "fromPort": 5000,
            "toPort": 5000,
            "ipv6CidrBlocks": ["::/0"],
        },
        True,
    ),
    (
        "no-open-ingress",
        GROUP_RULE,
        {"type": "egress", "protocol": "-1", "fromPort": 0, "toPort": 0, "cidrBlocks": ["0.0.0.0/0"]},
        False,
    ),
    ("no-open-ingress", INGRESS_RULE, {"ipProtocol": "-1", "cidrIpv4": "0.0.0.0/0"}, True),
    (
        "no-open-ingress",
        INGRESS_RULE,
        {"ipProtocol": "tcp", "fromPort": 5432, "toPort": 5432, "cidrIpv4": "10.0.0.0/16"},
        False,
    ),
    ("database-password-strong", RDS, {"password": "short"}, True),
    ("edge-tls", INGRESS, {"spec": {"rules": [{"host": "a.example.com"}], **TLS}}, False),
    ("edge-tls", INGRESS, {"spec": {"rules": [{"host": "a.example.org"}], **TLS}}, True),
    ("edge-tls", INGRESS, {"spec": {"rules": [{"host": "a.example.org"}]}}, True),
    ("edge-tls", LISTENER, {"protocol": "HTTPS"}, True),
    ("edge-tls", LISTENER, {"protocol": "TCP"}, False),
    (
        "edge-tls",
        "kubernetes:gateway.networking.k8s.io/v1:Gateway",
        {"spec": {"listeners": [{"protocol": "HTTP"}]}},
        True,
    ),
    ("edge-tls-version", LISTENER, {"protocol": "HTTPS", "sslPolicy": "ELBSecurityPolicy-2016-08"}, True),
    ("image-not-latest", TASK, task(image="ghcr.io/mlflow/mlflow"), True),
    ("image-not-latest", TASK, task(image="registry.example:5000/mlflow"), True),
    ("image-not-latest", TASK, task(image="registry.example:5000/mlflow:3.17.2"), False),
    ("image-not-latest", DEPLOYMENT, pod(image="mlflow:latest" + DIGEST), False),
    (
        "image-not-latest",
        "kubernetes:batch/v1:CronJob",
        {"spec": {"jobTemplate": {"spec": pod(image="gc")["spec"]}}},
        True,
    ),
    (
        "image-not-latest",
        "aws:lambda/function:Function",
        {"imageUri": "1.dkr.ecr.eu-west-1.amazonaws.com/a"},
        True,
    ),
    ("no-secret-in-argv", SERVICE, {"argv": ["x", "--api-key", "abcdef"]}, True),
    ("no-secret-in-argv", SERVICE, {"argv": ["x", "--api-key", "--quiet"]}, False),
    ("no-secret-in-argv", SERVICE, {"argv": ["x", "--token-ttl=3600", "--secret-name=db"]}, False),
    ("no-secret-in-argv", SERVICE, {"argv": ["x", "--url=postgresql://ada:swordfish@db/x"]}, True),
    ("no-secret-in-argv", SERVICE, {"argv": ["x", "--url=postgresql://ada:$(PASSWORD)@db/x"]}, False),
    ("no-secret-in-argv", DEPLOYMENT, pod(args=["--password=$(PASSWORD)"]), False),
    ("no-secret-in-argv", TASK, task(command=["sh", "-c", "serve --password=swordfish"]), True),
    ("no-secret-in-plain-config", DEPLOYMENT, pod(env=[{"name": "MLFLOW_TOKEN", "value": "x"}]), True),
    (
        "no-secret-in-plain-config",
        DEPLOYMENT,
        pod(env=[{"name": "MLFLOW_TOKEN", "valueFrom": {"secretKeyRef": {}}}]),
        False,
    ),
    (
        "no-secret-in-plain-config",
        DEPLOYMENT,
        pod(env=[{"name": "DB_PASSWORD_FILE", "value": "run/x"}]),
        False,
    ),
    (
        "no-secret-in-plain-config",
        "kubernetes:core/v1:ConfigMap",
        {"data": {"uri": "postgresql://a:b@db/x"}},
        True,
    ),
    (
        "no-secret-in-plain-config",
        "aws:lambda/function:Function",
        {"environment": {"variables": {"API_KEY": "x"}}},
        True,
    ),
    (
        "mlflow-security-middleware",
        DEPLOYMENT,
        pod(
            command=["mlflow", "server"],
            env=[{"name": "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE", "value": "true"}],
        ),
        True,
    ),
    (
        "mlflow-security-middleware",
        TASK,
        task(command=["sh", "-c", "exec mlflow server --disable-security-middleware"]),
        True,
    ),
    ("mlflow-security-middleware", TASK, task(command=["other", "--disable-security-middleware"]), False),
    ("mlflow-allowed-hosts", TASK, task(command=["mlflow", "server"]), True),
    ("mlflow-allowed-hosts", TASK, task(command=["mlflow", "server", "--allowed-hosts", "*"]), True),
    ("mlflow-allowed-hosts", TASK, task(command=["mlflow", "server", "--allowed-hosts=a.example"]), True),
    (
        "mlflow-allowed-hosts",
        TASK,
        task(command=["mlflow", "server", "--allowed-hosts=a.example,a.example:443,10.*"]),
        False,
    ),
    (
        "mlflow-default-permission",
        "kubernetes:core/v1:Secret",
        {"stringData": {"basic_auth.ini": "[mlflow]\nadmin_username = admin\n"}},
        True,
    ),
    ("mlflow-default-permission", FILE, {"text": "[other]\ndefault_permission = READ"}, False),
    ("iam-no-wildcard", ROLE, {"managedPolicyArns": ["arn:aws:iam::aws:policy/AdministratorAccess"]}, True),
    (
        "iam-no-wildcard",
        ROLE,
        {"inlinePolicies": [{"name": "x", "policy": allow(["s3:Get*", "*"], ["*"])}]},
        True,
    ),
    ("iam-no-wildcard", "aws:iam/rolePolicy:RolePolicy", {"policy": allow("*", "arn:aws:s3:::a/*")}, False),
    (
        "iam-no-wildcard",
        "kubernetes:rbac.authorization.k8s.io/v1:ClusterRole",
        {"rules": [{"verbs": ["*"], "resources": ["*"]}]},
        True,
    ),
    (
        "iam-no-wildcard",
        "kubernetes:rbac.authorization.k8s.io/v1:ClusterRoleBinding",
        {"roleRef": {"name": "cluster-admin"}},
        True,
    ),
    ("iam-trust-named", ROLE, trust(GITHUB), True),
    ("iam-trust-named", ROLE, trust(GITHUB, AUDIENCE), True),
    ("iam-trust-named", ROLE, trust(GITHUB, SUBJECT), False),
    ("key-rotation", "aws:kms/key:Key", {"customerMasterKeySpec": "RSA_4096"}, False),
    ("tags-complete", "aws:kms/key:Key", {"tags": {"modelyard:project": "a"}}, True),
]


@pytest.mark.parametrize(("rule", "token", "props", "broken"), CASES)
def test_a_case(rule: str, token: str, props: dict[str, Any], broken: bool) -> None:
    assert token in BY_ID[rule].types
    assert bool(found(BY_ID[rule], Example((Resource(token, "it", props),)))) is broken


@pytest.mark.parametrize(
    "rule", ["deletion-protection", "database-backups", "objects-versioned", "image-by-digest"]
)
def test_only_a_protected_environment_is_held_to_it(rule: str) -> None:
    assert found(BY_ID[rule], Example(BY_ID[rule].fails.resources)) == []


def test_the_hosts_of_the_spec_are_among_the_allowed() -> None:
    rule, stack = BY_ID["mlflow-allowed-hosts"], BY_ID["mlflow-allowed-hosts"].passes
    (what,) = found(rule, Example(stack.resources, Setting(allowed_hosts=("models.example",))))
    assert what == "not among the allowed hosts: models.example"


def test_a_bucket_is_matched_by_its_name_too() -> None:
    bucket = Resource("aws:s3/bucketV2:BucketV2", "it", {"id": "artifacts-1"})
    block = BY_ID["bucket-public-access-block"].passes.resources[0]
    other = Resource(block.type, "block", {**block.props, "bucket": "other"})
    own = Resource(block.type, "block", {**block.props, "bucket": "artifacts-1"})
    rule = BY_ID["bucket-has-access-block"]
    assert found(rule, Example((bucket, other)))
    assert found(rule, Example((bucket, own))) == []


def test_no_finding_repeats_a_secret() -> None:
    canary = "swordfish-canary-1"
    stack = [
        Resource("modelyard:local:Secret", "admin", {"value": canary}),
        Resource(SERVICE, "a", {"argv": ["x", f"--password={canary}", f"http://u:{canary}@h"]}),
        Resource(TASK, "b", task(environment=[{"name": "DB_PASSWORD", "value": canary}])),
        Resource(RDS, "c", {"password": canary[:9]}),
    ]
    findings = [what for rule in RULES for _, what in rule.findings(stack, Setting(protected=True))]
    assert len(findings) > 5
    assert not [what for what in findings if canary[:9] in what]
