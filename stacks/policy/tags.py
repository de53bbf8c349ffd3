"""Tags and labels: who a resource belongs to, for bills, sweeps and people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stacks.policy.rule import UNKNOWN, Resource, Rule, Setting, Severity, example
from stacks.policy.workloads import PODS

#: Tags of every AWS resource.
TAGS = ("modelyard:project", "modelyard:environment")
#: Labels of every Kubernetes resource that runs or is reached (recommended labels of Kubernetes).
LABELS = ("app.kubernetes.io/name", "app.kubernetes.io/part-of", "app.kubernetes.io/managed-by")

_TAGGED = frozenset(
    f"aws:{token}"
    for token in (
        "cloudwatch/logGroup:LogGroup",
        "dynamodb/table:Table",
        "ebs/volume:Volume",
        "ec2/natGateway:NatGateway",
        "ec2/securityGroup:SecurityGroup",
        "ec2/subnet:Subnet",
        "ec2/vpc:Vpc",
        "ecr/repository:Repository",
        "ecs/cluster:Cluster",
        "ecs/service:Service",
        "ecs/taskDefinition:TaskDefinition",
        "efs/fileSystem:FileSystem",
        "iam/role:Role",
        "kms/key:Key",
        "lambda/function:Function",
        "lb/loadBalancer:LoadBalancer",
        "lb/targetGroup:TargetGroup",
        "rds/cluster:Cluster",
        "rds/instance:Instance",
        "s3/bucket:Bucket",
        "s3/bucketV2:BucketV2",
        "secretsmanager/secret:Secret",
        "sns/topic:Topic",
        "sqs/queue:Queue",
    )
)
_LABELLED = frozenset(
    {*PODS, "kubernetes:core/v1:Service", "kubernetes:networking.k8s.io/v1:Ingress"}
    - {"kubernetes:core/v1:Pod"}
)


def _missing(found: object, wanted: tuple[str, ...]) -> list[str]:
    if found is UNKNOWN:
        return []
    return [key for key in wanted if not isinstance(found, Mapping) or found.get(key) in (None, "")]


class TagsComplete(Rule):
    """Every AWS resource says which environment it belongs to."""

    id = "tags-complete"
    what = f"Every AWS resource has the tags {' and '.join(TAGS)}."
    why = "Costs cannot be told apart and a leftover cannot be found after a destroy without them."
    fix = "Set them once: default_tags of the AWS provider."
    types = _TAGGED
    fails = example("aws:ecs/cluster:Cluster", tags={"modelyard:project": "flights"})
    passes = example(
        "aws:ecs/cluster:Cluster", tagsAll={"modelyard:project": "flights", "modelyard:environment": "prod"}
    )

    def check(self, resource: Resource, setting: Setting) -> Iterator[str]:
        every = resource.get("tagsAll")
        missing = _missing(resource.get("tags") if every is None else every, TAGS)
        if missing:
            yield f"missing: {', '.join(missing)}"


class LabelsComplete(Rule):
    """Kubernetes resources carry the recommended labels."""

    id = "labels-complete"
    severity = Severity.ADVISORY
    what = "Workloads, Services and Ingresses have the recommended labels name, part-of and managed-by."
    why = "Selectors, dashboards and people find the parts of an environment by them."
    fix = f"Set metadata.labels: {', '.join(LABELS)}."
    types = _LABELLED
    fails = example("kubernetes:core/v1:Service", metadata={"name": "mlflow"})
    passes = example("kubernetes:core/v1:Service", metadata={"labels": dict.fromkeys(LABELS, "modelyard")})

    def check(self, resource: Resource, setting: Setting) -> Iterator[str]:
        missing = _missing(resource.get("metadata.labels"), LABELS)
        if missing:
            yield f"missing: {', '.join(missing)}"


RULES: tuple[Rule, ...] = (TagsComplete(), LabelsComplete())
