"""Resources as a preview of an AWS environment has them: real pulumi-aws tokens and input names, by hand."""

from __future__ import annotations

from typing import Any

from blueprints.billing import Resource
from blueprints.layers import Layer

#: How a preview writes a value that is known only after ``up``.
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


def aws(kind: str, name: str, layer: Layer | None = None, **inputs: Any) -> Resource:
    """``aws("rds/Instance", …)``: pulumi-aws repeats the name, with a small first letter, in its token."""
    module, _, title = kind.partition("/")
    return Resource(f"aws:{module}/{title[0].lower()}{title[1:]}:{title}", name, layer, inputs)


def task(name: str, layer: Layer, cpu: str, memory: str, machine: str = "ARM64") -> list[Resource]:
    """A Fargate service of one task and its definition; the service names it by a value not known yet."""
    return [
        aws(
            "ecs/TaskDefinition",
            name,
            layer,
            family=name,
            cpu=cpu,
            memory=memory,
            requiresCompatibilities=["FARGATE"],
            runtimePlatform={"cpuArchitecture": machine, "operatingSystemFamily": "LINUX"},
        ),
        aws("ecs/Service", name, layer, launchType="FARGATE", desiredCount=1, taskDefinition=UNKNOWN),
    ]


def team() -> list[Resource]:
    """Two zones, small sizes, Multi-AZ: what the catalog's line of ``aws`` is about."""
    subnets = [UNKNOWN, UNKNOWN]
    return [
        aws("iam/Role", "task", Layer.ACCESS, assumeRolePolicy="{}"),
        aws("kms/Key", "data", Layer.ACCESS, enableKeyRotation=True),
        aws("ec2/Vpc", "vpc", Layer.NETWORK, cidrBlock="10.0.0.0/16"),
        aws("ec2/SecurityGroup", "edge", Layer.NETWORK, vpcId=UNKNOWN),
        aws("ec2/Eip", "nat-a", Layer.NETWORK, domain="vpc"),
        aws("ec2/NatGateway", "nat-a", Layer.NETWORK, subnetId=UNKNOWN, allocationId=UNKNOWN),
        aws("ec2/VpcEndpoint", "s3", Layer.NETWORK, vpcEndpointType="Gateway"),
        *(
            aws("ec2/VpcEndpoint", name, Layer.NETWORK, vpcEndpointType="Interface", subnetIds=subnets)
            for name in ("ecr-api", "ecr-dkr", "logs", "secretsmanager", "kms")
        ),
        aws("lb/LoadBalancer", "edge", Layer.NETWORK, loadBalancerType="application", subnets=subnets),
        aws("lb/Listener", "https", Layer.NETWORK, port=443),
        aws(
            "rds/Instance",
            "postgres",
            Layer.DATABASE,
            engine="postgres",
            instanceClass="db.t4g.medium",
            allocatedStorage=50,
            maxAllocatedStorage=100,
            storageType="gp3",
            multiAz=True,
            backupRetentionPeriod=7,
            manageMasterUserPassword=True,
        ),
        *(aws("s3/Bucket", name, Layer.STORAGE) for name in ("artifacts", "data", "backups", "logs")),
        aws("s3/BucketPublicAccessBlock", "artifacts", Layer.STORAGE, blockPublicAcls=True),
        *task("tracking", Layer.TRACKING, "1024", "2048"),
        aws("ecr/Repository", "images", Layer.TRACKING),
        *task("gateway", Layer.SERVING, "1024", "2048"),
        aws("appautoscaling/Target", "gateway", Layer.SERVING, minCapacity=1, maxCapacity=2),
        *task("monitor", Layer.MONITORING, "512", "1024"),
        aws("cloudwatch/LogGroup", "services", Layer.MONITORING, retentionInDays=30),
        *(aws("cloudwatch/MetricAlarm", f"alarm-{n}", Layer.MONITORING, period=60) for n in range(10)),
        aws("cloudwatch/Dashboard", "overview", Layer.MONITORING, dashboardBody="{}"),
        aws("sns/Topic", "alerts", Layer.MONITORING),
        *task("dagster", Layer.ORCHESTRATION, "512", "1024"),
    ]
