"""The estimator: quantities times prices, nothing silently 0, on resources as a preview has them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from blueprints.billing import Resource
from blueprints.catalog import AWS
from blueprints.charges import RULES
from blueprints.cost import Estimate, Range, difference, estimate
from blueprints.errors import ExitCode, Problem
from blueprints.layers import Layer
from blueprints.pricebook import packaged
from blueprints.spec import UsageSpec
from blueprints.unbilled import free_because
from tests.blueprints.aws_resources import UNKNOWN, aws, task, team

REGION = "us-east-1"
BOOK = packaged()


def cost(*resources: Resource, region: str = REGION, **usage: float) -> Estimate:
    return estimate(resources, BOOK, region, UsageSpec(**usage))


def price(key: str, region: str = REGION) -> float:
    found = BOOK.price(key, region)
    assert found is not None
    return found.amount


def spent(found: Estimate, what: str) -> Range:
    (item,) = [item for item in found.items if what in item.what]
    return item.cost


def test_the_team_adds_up_by_layer_and_is_what_the_catalog_says() -> None:
    for region in BOOK.regions():
        found = estimate(team(), BOOK, region, UsageSpec())
        assert found.unpriced == ()
        assert found.free == 11
        assert math.isclose(found.total.low, sum(each.low for each in found.layers.values()))
        assert math.isclose(found.total.high, sum(item.cost.high for item in found.items))
        assert list(found.layers) == [layer.value for layer in Layer]
        assert AWS.cost.low <= found.total.low <= found.total.high <= AWS.cost.high
    assert AWS.cost.approximate


def test_a_database_by_hand() -> None:
    small: dict[str, Any] = {"engine": "postgres", "instanceClass": "db.t4g.medium", "storageType": "gp3"}
    one = cost(aws("rds/Instance", "db", **small, allocatedStorage=50))
    assert math.isclose(one.total.high, 730 * 0.065 + 50 * 0.115)
    assert one.total.low == one.total.high
    two = cost(
        aws("rds/Instance", "db", **small, allocatedStorage="50", maxAllocatedStorage=100, multiAz=True),
        hours=100,
    )
    assert math.isclose(two.total.low, 100 * price("rds.db.t4g.medium.multi") + 50 * 0.23)
    assert math.isclose(two.total.high - two.total.low, 50 * 0.23)
    kept = cost(
        aws("rds/Instance", "db", **small, allocatedStorage=50, backupRetentionPeriod=7), backup_gb=40
    )
    assert spent(kept, "backups") == Range(0, 40 * 0.095)
    fast = cost(aws("rds/Instance", "db", **{**small, "iops": 14000, "allocatedStorage": 400}))
    assert math.isclose(spent(fast, "operations").low, 2000 * 0.02)


def test_a_fargate_service_takes_size_and_machine_from_its_task_and_count_from_its_scaling() -> None:
    found = cost(*task("gateway", Layer.SERVING, "512", "1024"))
    assert math.isclose(found.total.low, 730 * (0.5 * 0.03238 + 1 * 0.00356))
    intel = cost(*task("gateway", Layer.SERVING, ".5 vCPU", "1 GB", "X86_64"))
    assert math.isclose(intel.total.low, 730 * (0.5 * 0.04048 + 1 * 0.004445))
    target = aws("appautoscaling/Target", "gateway", Layer.SERVING, minCapacity=2, maxCapacity=5)
    scaled = cost(*task("gateway", Layer.SERVING, "512", "1024"), target)
    assert math.isclose(scaled.total.low, 2 * found.total.low)
    assert math.isclose(scaled.total.high, 5 * found.total.low)


def test_a_service_finds_its_own_task_among_several() -> None:
    tasks = [*task("gateway", Layer.SERVING, "256", "512"), *task("worker", Layer.SERVING, "2048", "4096")]
    found = cost(*tasks)
    assert [item.quantity.low for item in found.items if item.resource == "gateway"] == [
        0.25 * 730,
        0.5 * 730,
    ]
    arn = "arn:aws:ecs:us-east-1:1:task-definition/worker:7"
    named = aws("ecs/Service", "api", Layer.TRACKING, launchType="FARGATE", taskDefinition=arn)
    assert spent(cost(*task("worker", Layer.SERVING, "2048", "4096")[:1], named), "vCPU").low > 0
    lost = cost(aws("ecs/Service", "api", Layer.TRACKING, taskDefinition=UNKNOWN))
    assert lost.items == ()
    assert "only after up" in lost.unpriced[0].why


def test_a_task_that_no_service_runs_is_a_job() -> None:
    job = cost(task("migrate", Layer.TRACKING, "1024", "2048", "X86_64")[0], job_hours=10)
    assert math.isclose(job.total.high, 10 * (0.04048 + 2 * 0.004445))
    assert job.total.low == 0


def test_use_is_divided_among_those_that_share_it() -> None:
    one = cost(aws("s3/Bucket", "a"), stored_gb=100)
    four = cost(*(aws("s3/Bucket", name) for name in "abcd"), stored_gb=100)
    assert math.isclose(one.total.high, four.total.high)
    assert len(four.items) == 12
    nat, endpoint = aws("ec2/NatGateway", "n"), aws("ec2/VpcEndpoint", "e", vpcEndpointType="Interface")
    both = cost(nat, endpoint, private_gb=60)
    assert sum(item.quantity.high for item in both.items if "data" in item.what) == 60


@pytest.mark.parametrize(
    ("resource", "keys"),
    [
        (aws("kms/Key", "k"), {"kms.key", "kms.requests"}),
        (aws("lb/LoadBalancer", "l", internal=True), {"alb.hour", "alb.lcu"}),
        (
            aws("lb/LoadBalancer", "l", loadBalancerType="network", subnets=["a", "b"]),
            {"nlb.hour", "nlb.lcu", "ipv4.hour", "transfer.out"},
        ),
        (aws("ec2/Eip", "e"), {"ipv4.hour"}),
        (aws("ec2/FlowLog", "f"), {"logs.vended"}),
        (aws("cloudwatch/LogGroup", "l", retentionInDays=30), {"logs.ingest", "logs.storage"}),
        (aws("cloudwatch/MetricAlarm", "a", period=60), {"cloudwatch.alarm"}),
        (aws("cloudwatch/MetricAlarm", "a", period=10), {"cloudwatch.alarm.fast"}),
        (aws("cloudwatch/Dashboard", "d"), {"cloudwatch.dashboard"}),
        (aws("sns/Topic", "t"), {"sns.requests", "sns.email"}),
        (aws("secretsmanager/Secret", "s"), {"secrets.secret", "secrets.requests"}),
        (aws("ecr/Repository", "r"), {"ecr.storage"}),
        (aws("wafv2/WebAcl", "w", rules=[{}, {}]), {"waf.acl", "waf.rule", "waf.requests"}),
        (aws("route53/Zone", "z"), {"route53.zone", "route53.queries"}),
        (aws("lambda/Function", "f", architectures=["arm64"]), {"lambda.requests", "lambda.time.arm64"}),
        (aws("cloudtrail/Trail", "t", eventSelectors=[{}]), {"cloudtrail.events"}),
        (aws("backup/Vault", "v"), {"backup.storage"}),
        (aws("eks/Cluster", "c"), {"eks.hour"}),
        (aws("ssm/Parameter", "p", tier="Advanced"), {"ssm.advanced"}),
    ],
)
def test_each_billed_kind_names_its_prices(resource: Resource, keys: set[str]) -> None:
    found = cost(resource)
    assert found.unpriced == ()
    assert {item.price.key for item in found.items} == keys


@pytest.mark.parametrize(
    "resource",
    [
        aws("iam/Role", "r"),
        aws("ec2/SecurityGroup", "g"),
        aws("vpc/SecurityGroupIngressRule", "g"),
        aws("s3/BucketPublicAccessBlock", "b"),
        aws("ec2/VpcEndpoint", "s3"),
        aws("ecs/Cluster", "c", settings=[{"name": "containerInsights", "value": "disabled"}]),
        aws("cloudtrail/Trail", "t"),
        aws("ssm/Parameter", "p"),
        Resource("random:index/randomPassword:RandomPassword", "p"),
        Resource("modelyard:local:Service", "tracking"),
    ],
)
def test_the_free_is_known_to_be_free(resource: Resource) -> None:
    found = cost(resource)
    assert (found.total, found.free, found.unpriced) == (Range(), 1, ())
    assert resource.type in RULES or free_because(resource.type)


@pytest.mark.parametrize(
    ("resource", "why"),
    [
        (aws("sagemaker/Domain", "d"), "no rule"),
        (aws("rds/Cluster", "c"), "no rule"),
        (Resource("gcp:storage/bucket:Bucket", "b"), "no rule"),
        (aws("rds/Instance", "db", engine="mysql", instanceClass="db.t4g.micro"), "PostgreSQL only"),
        (aws("rds/Instance", "db", instanceClass=UNKNOWN), "instanceClass is known only after up"),
        (aws("lb/LoadBalancer", "g", loadBalancerType="gateway"), "no gateway load balancers"),
        (aws("cognito/UserPool", "u"), "active users"),
        (
            aws("ecs/Cluster", "c", settings=[{"name": "containerInsights", "value": "enabled"}]),
            "container insights",
        ),
        (aws("ecr/RegistryScanningConfiguration", "s", scanType="ENHANCED"), "enhanced scanning"),
        (aws("ecs/TaskDefinition", "t", cpu="lots", memory="1024"), "no size"),
        (aws("ecs/TaskDefinition", "t", memory="1024"), "cpu is not given"),
        (aws("ebs/Volume", "v", type="gp3", size=-5), "no amount"),
        (Resource("kubernetes:core/v1:PersistentVolumeClaim", "data"), "provider"),
        (
            Resource("kubernetes:core/v1:Service", "edge", None, {"spec": {"type": "LoadBalancer"}}),
            "provider",
        ),
        (
            Resource("kubernetes:apps/v1:StatefulSet", "pg", None, {"spec": {"volumeClaimTemplates": [{}]}}),
            "claims",
        ),
    ],
)
def test_what_nobody_knows_is_listed_with_the_reason_and_never_0(resource: Resource, why: str) -> None:
    found = cost(resource)
    assert found.items == ()
    assert why in found.unpriced[0].why
    assert "not priced" in found.headline


def test_one_unknown_price_leaves_the_other_lines() -> None:
    found = cost(
        aws("rds/Instance", "db", instanceClass="db.x9g.metal", allocatedStorage=20, storageType="gp3")
    )
    assert [item.price.key for item in found.items] == ["rds.storage.gp3.single"]
    assert "rds.db.x9g.metal.single in us-east-1" in found.unpriced[0].why
    elsewhere = cost(aws("ec2/NatGateway", "n"), region="ap-south-1")
    assert [each.why.split(" in ")[1] for each in elsewhere.unpriced] == ["ap-south-1", "ap-south-1"]


def test_a_part_without_a_price_is_listed_beside_the_priced_ones() -> None:
    watched: dict[str, Any] = {"monitoringInterval": 60, "performanceInsightsRetentionPeriod": 731}
    found = cost(aws("rds/Instance", "db", instanceClass="db.t4g.medium", storageType="gp3", **watched))
    assert len(found.items) == 2
    assert [each.why.split(":")[0] for each in found.unpriced] == [
        "performance insights beyond a week",
        "enhanced monitoring",
    ]


def test_a_clusters_nodes_are_never_taken_for_free() -> None:
    found = cost(Resource("kubernetes:apps/v1:Deployment", "gateway", Layer.SERVING))
    assert [each.resource for each in found.unpriced] == ["nodes"]


def test_approximate_is_said_and_only_when_it_is() -> None:
    checked = cost(aws("ec2/NatGateway", "n"))
    assert not checked.approximate
    assert "approximate" not in checked.headline
    guessed = cost(aws("ec2/NatGateway", "n"), region="eu-central-1")
    assert guessed.approximate
    assert "approximate" in guessed.headline


def test_assumptions_name_every_use() -> None:
    text = " ".join(cost(aws("ec2/NatGateway", "n"), private_gb=123).assumptions)
    for name in UsageSpec.model_fields:
        assert name in text
    assert "private_gb 123" in text
    assert cost().assumptions == ()


def test_the_difference_by_layer() -> None:
    before = cost(aws("ec2/NatGateway", "n", Layer.NETWORK), aws("kms/Key", "k", Layer.ACCESS), private_gb=0)
    after = cost(*(aws("ec2/NatGateway", name, Layer.NETWORK) for name in "ab"), private_gb=0)
    change = difference(before, after)
    assert change["network"].signed == "+32.85"
    assert change["access"].signed.startswith("-1.00")
    assert (after.total - before.total).low == pytest.approx(31.85)
    assert Range(0, 0).signed == "0"


@pytest.mark.parametrize(
    ("amounts", "text"),
    [((0, 0), "0"), ((0, 3.7), "0 – 3.70"), ((12.3, 12.3), "12.30"), ((410, 1520.4), "410 – 1,520")],
)
def test_a_range_in_words(amounts: Sequence[float], text: str) -> None:
    assert str(Range(*amounts)) == text


def test_over_budget_names_the_three_largest() -> None:
    found = estimate(team(), BOOK, REGION, UsageSpec())
    found.require_within(None, "Pulumi.dev.yaml")
    found.require_within(found.total.high, "Pulumi.dev.yaml")
    with pytest.raises(Problem) as caught:
        found.require_within(found.total.high - 1, "Pulumi.dev.yaml")
    problem = caught.value
    assert problem.code is ExitCode.FAILED
    assert problem.where == "Pulumi.dev.yaml cost.budget_per_month"
    for name in ("postgres (db.t4g.medium, multi zone)", "gateway (1 vCPU arm64)", "nat-a (hours)"):
        assert name in problem.what
    assert problem.what.count("USD") == 5
