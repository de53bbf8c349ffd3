"""The pack's real analyzer process, and what becomes of its words."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct  # type: ignore[import-untyped]
from pulumi.runtime import rpc
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc

from blueprints.errors import UsageProblem
from blueprints.keys import assign, validate
from blueprints.spec import EnvironmentSpec, PolicyException
from stacks.policy import pack_folder
from stacks.policy.catalog import BY_ID, RULES
from stacks.policy.exceptions import check_exceptions, today
from stacks.policy.pack import configured
from stacks.policy.results import PolicyReport, Verdict, advice, exceptions_used, headline
from stacks.policy.rule import UNKNOWN, Example, Rule, Setting, Severity
from stacks.policy.values import plain
from stacks.project import Project

TOMORROW, YESTERDAY = today() + timedelta(days=1), today() - timedelta(days=1)


@contextmanager
def analyzer(spec: EnvironmentSpec) -> Iterator[Any]:
    """A client of the process as the engine starts it."""
    import json

    config = json.dumps({"modelyard:spec": spec.model_dump_json()})
    process = subprocess.Popen(
        [Path(sys.executable).parent / "pulumi-analyzer-policy-modelyard", "127.0.0.1:1", "."],
        cwd=pack_folder(),
        env={**os.environ, "PULUMI_CONFIG": config},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        with grpc.insecure_channel(f"127.0.0.1:{int(process.stdout.readline())}") as channel:
            yield analyzer_pb2_grpc.AnalyzerStub(channel)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def analyzers() -> Iterator[dict[bool, Any]]:
    """An analyzer for an environment that is protected, and one for one that is not."""
    with (
        analyzer(EnvironmentSpec()) as plain,
        analyzer(assign(EnvironmentSpec(), ["protected=yes"])) as protected,
    ):
        yield {False: plain, True: protected}


def urn(token: str, name: str) -> str:
    return f"urn:pulumi:dev::yard::{token}::{name}"


def judged(client: Any, stack: Example) -> list[Any]:
    """Every diagnostic on ``stack``: of each resource, then of all of them."""
    by_name = {each.name: urn(each.type, each.name) for each in stack.resources}
    resources = []
    diagnostics: list[Any] = []
    for each in stack.resources:
        properties = Struct()
        properties.update(each.props)
        known = {"type": each.type, "properties": properties, "urn": by_name[each.name], "name": each.name}
        diagnostics += client.Analyze(analyzer_pb2.AnalyzeRequest(**known)).diagnostics
        resources.append(
            analyzer_pb2.AnalyzerResource(dependencies=[by_name[name] for name in each.depends], **known)
        )
    request = analyzer_pb2.AnalyzeStackRequest(resources=resources)
    return diagnostics + list(client.AnalyzeStack(request).diagnostics)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_the_process_judges_as_the_rule_does(analyzers: dict[bool, Any], rule: Rule) -> None:
    client = analyzers[rule.fails.setting.protected]
    said = [each for each in judged(client, rule.fails) if each.policyName == rule.id]
    assert said
    advisory = rule.severity is Severity.ADVISORY
    for each in said:
        assert each.enforcementLevel == (analyzer_pb2.ADVISORY if advisory else analyzer_pb2.MANDATORY)
        assert rule.why in each.message
        assert rule.fix in each.message
    report = PolicyReport()
    for each in said:
        report.hear(each.policyName, each.urn, each.message)
    (result,) = [each for each in report.results() if each.findings]
    assert result.rule == rule.id
    assert result.verdict is (Verdict.WARNED if advisory else Verdict.VIOLATED)
    assert [(each.resource, each.what) for each in result.findings] == sorted(
        (resource.name, what) for resource, what in rule.findings(rule.fails.resources, rule.fails.setting)
    )
    passing = judged(analyzers[rule.passes.setting.protected], rule.passes)
    assert [each.message for each in passing if each.policyName == rule.id] == []


def test_the_process_tells_all_its_rules(analyzers: dict[bool, Any]) -> None:
    from google.protobuf.empty_pb2 import Empty  # type: ignore[import-untyped]

    info = analyzers[False].GetAnalyzerInfo(Empty())
    assert [each.name for each in info.policies] == [rule.id for rule in RULES]


LEVELS = [
    (analyzer_pb2.ADVISORY, [analyzer_pb2.ADVISORY]),
    (analyzer_pb2.REMEDIATE, [analyzer_pb2.MANDATORY]),
    (analyzer_pb2.DISABLED, []),
]


@pytest.mark.parametrize(
    "rule", [BY_ID["local-loopback-only"], BY_ID["objects-versioned"]], ids=["one", "stack"]
)
def test_a_policy_pack_config_sets_the_level(rule: Rule) -> None:
    spec = assign(EnvironmentSpec(), ["protected=yes"]) if rule.fails.setting.protected else EnvironmentSpec()
    with analyzer(spec) as client:
        for level, expected in LEVELS:
            chosen = {rule.id: analyzer_pb2.PolicyConfig(enforcementLevel=level)}
            client.Configure(analyzer_pb2.ConfigureAnalyzerRequest(policyConfig=chosen))
            said = {
                each.enforcementLevel for each in judged(client, rule.fails) if each.policyName == rule.id
            }
            assert sorted(said) == expected


def test_the_process_changes_no_resource(analyzers: dict[bool, Any]) -> None:
    request = analyzer_pb2.AnalyzeRequest(type="modelyard:local:Port", name="it")
    assert analyzers[False].Remediate(request) == analyzer_pb2.RemediateResponse()


def test_properties_become_plain_data() -> None:
    signature, secret = rpc._special_sig_key, rpc._special_secret_sig
    properties = Struct()
    properties.update(
        {
            "text": "a",
            "count": 3,
            "ratio": 0.5,
            "on": True,
            "nothing": None,
            "unknown": rpc.UNKNOWN,
            "list": [1, rpc.UNKNOWN, {"deep": {signature: secret, "value": [rpc.UNKNOWN, "b"]}}],
            "password": {signature: secret, "value": "hunter2"},
            "later": {signature: secret, "value": rpc.UNKNOWN},
        }
    )
    found = plain(properties)
    assert found == {
        "text": "a",
        "count": 3,
        "ratio": 0.5,
        "on": True,
        "nothing": None,
        "unknown": UNKNOWN,
        "list": [1, UNKNOWN, {"deep": [UNKNOWN, "b"]}],
        "password": "hunter2",
        "later": UNKNOWN,
    }
    assert isinstance(found["count"], int)


def test_the_analyzer_starts_without_the_sdk() -> None:
    heavy = "{'pulumi', 'pydantic', 'psycopg', 'boto3', 'textual', 'mlflow'}"
    code = f"import sys, stacks.policy.analyzer; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_blueprints_rules_may_import_the_sdk() -> None:
    """Its protobufs, loaded without it, are the ones it then uses itself."""
    code = (
        "import stacks.policy.analyzer as ours, pulumi;"
        "from pulumi.runtime.proto import analyzer_pb2 as theirs;"
        "assert theirs.AnalyzeRequest is ours.pb.AnalyzeRequest"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "config",
    [
        "",
        "{}",
        "[]",
        "no json",
        '{"modelyard:spec": "[1]"}',
        '{"modelyard:spec": "{\\"blueprint\\":\\"none\\"}"}',
    ],
)
def test_a_spec_that_cannot_be_read_leaves_the_packs_rules(config: str) -> None:
    setting, policies = configured(config)
    assert setting == Setting()
    assert [each.rule for each in policies] == list(RULES)


def exception(until: date, resource: str = "", rule: str = "local-loopback-only") -> PolicyException:
    return PolicyException(rule=rule, resource=resource, reason="a trial", until=until)


def with_exceptions(*exceptions: PolicyException) -> EnvironmentSpec:
    return validate({"policy": {"exceptions": [each.model_dump() for each in exceptions]}})


@pytest.mark.parametrize(
    ("exceptions", "verdict", "words"),
    [
        ((), Verdict.VIOLATED, "an argument binds 0.0.0.0"),
        ((exception(TOMORROW),), Verdict.EXCEPTED, "an argument binds 0.0.0.0"),
        ((exception(today(), "it"),), Verdict.EXCEPTED, "an argument binds 0.0.0.0"),
        ((exception(TOMORROW, "other"),), Verdict.VIOLATED, "an argument binds 0.0.0.0"),
        ((exception(YESTERDAY),), Verdict.VIOLATED, f"(its exception expired on {YESTERDAY})"),
        ((exception(YESTERDAY), exception(TOMORROW)), Verdict.EXCEPTED, "an argument binds 0.0.0.0"),
        ((exception(TOMORROW, rule="edge-tls"),), Verdict.VIOLATED, "an argument binds 0.0.0.0"),
    ],
)
def test_an_exception_counts_for_its_rule_its_resource_and_its_days(
    exceptions: tuple[PolicyException, ...], verdict: Verdict, words: str
) -> None:
    rule = BY_ID["local-loopback-only"]
    report = PolicyReport(exceptions)
    with analyzer(with_exceptions(*exceptions)) as client:
        for each in judged(client, rule.fails):
            if each.policyName.endswith(rule.id):
                report.hear(each.policyName, each.urn, each.message)
    (result,) = [each for each in report.results() if each.rule == rule.id]
    assert result.verdict is verdict
    (finding,) = result.findings
    assert words in finding.what
    assert bool(report.violations()) is (verdict is Verdict.VIOLATED)
    used = exceptions_used(report.results())
    assert [each["reason"] for each in used] == (["a trial"] if verdict is Verdict.EXCEPTED else [])


def test_the_headline_counts() -> None:
    report = PolicyReport()
    assert headline(report.results()) == f"policy ● {len(RULES)} rules"
    report.hear("labels-complete", "urn:pulumi:dev::yard::kubernetes:core/v1:Service::mlflow", "missing: x")
    assert headline(report.results()) == f"policy △ {len(RULES)} rules, 1 warned"
    assert advice(report.results()) == ["△ labels-complete: mlflow: missing: x"]


def test_an_exception_for_no_rule_is_refused_with_the_nearest() -> None:
    spec = with_exceptions(exception(TOMORROW, rule="local-loopback"))
    with pytest.raises(UsageProblem, match="no rule is called 'local-loopback'") as caught:
        check_exceptions(spec.policy.exceptions)
    assert "local-loopback-only" in caught.value.todo


@pytest.mark.parametrize(
    ("entry", "where"),
    [
        ({"rule": "edge-tls", "reason": "x"}, "policy.exceptions.0.until"),
        ({"rule": "edge-tls", "until": "2027-01-01"}, "policy.exceptions.0.reason"),
        ({"rule": "edge-tls", "reason": " ", "until": "2027-01-01"}, "policy.exceptions.0.reason"),
        ({"rule": "edge-tls", "reason": "x", "until": "soon"}, "policy.exceptions.0.until"),
    ],
)
def test_an_exception_without_reason_or_last_day_is_refused(entry: dict[str, str], where: str) -> None:
    with pytest.raises(UsageProblem) as caught:
        validate({"policy": {"exceptions": [entry]}})
    assert caught.value.where.endswith(where)
    assert "rule, resource, reason, until" in caught.value.expected


def test_exceptions_are_kept_in_the_project(tmp_path: Path) -> None:
    spec = with_exceptions(exception(TOMORROW, "it"))
    project = Project.create(tmp_path / "yard", "yard", "dev", spec)
    assert project.spec("dev") == spec
    # As a person may write it: without quotes.
    path = project.stack_file("dev")
    path.write_text(path.read_text().replace(f"'{TOMORROW}'", str(TOMORROW)))
    assert project.spec("dev") == spec
