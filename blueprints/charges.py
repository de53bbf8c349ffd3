"""What each kind of resource is billed for: from type tokens and inputs to quantities of a price book.

Quantities only; prices are the book's, see :mod:`blueprints.cost`. Two numbers for each: ``low`` is what is
paid when nobody uses the environment, ``high`` with the use that the spec assumes and at the upper end of
what may scale by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from blueprints.billing import Charge, Resource, Scene, Unpriceable

Rule: TypeAlias = Callable[[Resource, Scene], Iterable[Charge]]

_TASKS = "aws:ecs/taskDefinition:TaskDefinition"
_SERVICES = "aws:ecs/service:Service"
_SCALING = "aws:appautoscaling/target:Target"


def _database(r: Resource, s: Scene) -> Iterable[Charge]:
    engine = r.text("engine", default="postgres")
    if engine != "postgres":
        raise Unpriceable(f"the engine is {engine}; the price book has PostgreSQL only")
    where = "multi" if r.get("multiAz") else "single"
    instance = r.text("instanceClass")
    yield s.fixed(f"{instance}, {where} zone", f"rds.{instance}.{where}", hourly=True)
    kind = r.text("storageType", default="gp3" if r.get("iops") is None else "io1")
    least = r.number("allocatedStorage", default=20)
    most = max(least, r.number("maxAllocatedStorage", default=0))
    yield Charge(f"{kind} storage", f"rds.storage.{kind}.{where}", least, most)
    # PostgreSQL on gp3: 12,000 operations a second come with 400 GB and more, 3,000 with less.
    free = {"gp3": 12_000 if least >= 400 else 3_000, "io1": 0}.get(kind, float("inf"))
    extra = r.number("iops", default=0) - free
    if extra > 0:
        yield s.fixed("provisioned operations", f"rds.iops.{kind}.{where}", extra)
    if r.number("backupRetentionPeriod", default=0):
        yield s.used("backups beyond its size", "rds.backup", "backup_gb", shared="backup_gb")
    if r.get("manageMasterUserPassword"):
        yield s.fixed("its password in Secrets Manager", "secrets.secret")
    # The book has no prices for these two: they come out as not priced.
    if r.number("performanceInsightsRetentionPeriod", default=7) > 7:
        yield s.fixed("performance insights beyond a week", "rds.insights")
    if r.number("monitoringInterval", default=0):
        yield s.fixed("enhanced monitoring", "rds.monitoring")


def _bucket(r: Resource, s: Scene) -> Iterable[Charge]:
    yield s.used("objects kept", "s3.storage", "stored_gb")
    yield s.used("writes and listings", "s3.writes", "object_writes", 1_000)
    yield s.used("reads", "s3.reads", "object_reads", 1_000)


def _key(r: Resource, s: Scene) -> Iterable[Charge]:
    # The first two rotations of a key raise its price by as much again each, later ones no more.
    yield Charge("key", "kms.key", 1, 3 if r.get("enableKeyRotation") else 1)
    # The upper bound: a bucket key saves most of these calls.
    yield s.used("uses of the key", "kms.requests", "key_uses", 10_000)


def _load_balancer(r: Resource, s: Scene) -> Iterable[Charge]:
    kinds = {"application": "alb", "network": "nlb"}
    kind = kinds.get(r.text("loadBalancerType", default="application"))
    if kind is None:
        raise Unpriceable(f"the price book has no {r.text('loadBalancerType')} load balancers")
    yield s.fixed("hours", f"{kind}.hour", hourly=True)
    yield s.used("capacity units", f"{kind}.lcu", "lcu_hours")
    if not r.get("internal"):
        zones = len(r.items("subnets") or r.items("subnetMappings")) or 2
        yield s.fixed(f"public addresses, {zones}", "ipv4.hour", zones, hourly=True)
        yield s.used("data out to the internet", "transfer.out", "data_out_gb")


def _nat(r: Resource, s: Scene) -> Iterable[Charge]:
    yield s.fixed("hours", "nat.hour", hourly=True)
    yield s.used("data through it", "nat.gb", "private_gb", shared="private_gb")


def _endpoint(r: Resource, s: Scene) -> Iterable[Charge]:
    kind = r.text("vpcEndpointType", default="Gateway")
    if kind == "Gateway":
        return
    if kind != "Interface":
        raise Unpriceable(f"the price book has no {kind} endpoints")
    zones = len(r.items("subnetIds")) or 1
    yield s.fixed(f"hours in {zones} zones", "endpoint.hour", zones, hourly=True)
    yield s.used("data through it", "endpoint.gb", "private_gb", shared="private_gb")


def _cluster(r: Resource, s: Scene) -> Iterable[Charge]:
    settings = [each for each in r.items("settings") if isinstance(each, Mapping)]
    watch = [each.get("value") for each in settings if each.get("name") == "containerInsights"]
    if any(value not in ("disabled", None) for value in watch):
        raise Unpriceable("container insights are billed by what runs and how it is watched")
    return ()


def _scanning(r: Resource, s: Scene) -> Iterable[Charge]:
    if r.text("scanType", default="BASIC") != "BASIC":
        raise Unpriceable("enhanced scanning is billed by the images scanned")
    return ()


def _service(r: Resource, s: Scene) -> Iterable[Charge]:
    if r.text("launchType", default="FARGATE") != "FARGATE":
        raise Unpriceable("its tasks run on instances of the cluster")
    task = _task_of(r, s)
    least = most = r.number("desiredCount", default=1)
    target = s.beside(r, _SCALING)
    if target is not None:
        least, most = target.number("minCapacity", default=least), target.number("maxCapacity", default=most)
    yield from _containers(task, least * s.hours, most * s.hours)
    if r.get("networkConfiguration", "assignPublicIp"):
        yield Charge("public addresses", "ipv4.hour", least * s.hours, most * s.hours)


def _task_of(service: Resource, s: Scene) -> Resource:
    """The task definition that a service runs: by the family its ARN names, else the one beside it."""
    try:
        family = service.text("taskDefinition").rsplit("/", 1)[-1].partition(":")[0]
    except Unpriceable:
        family = ""
    for each in s.resources:
        if each.type == _TASKS and family and each.inputs.get("family") == family:
            return each
    task = s.beside(service, _TASKS)
    if task is None:
        raise Unpriceable("which task definition it runs is known only after up")
    return task


def _task(r: Resource, s: Scene) -> Iterable[Charge]:
    """A task definition costs nothing; one that no service runs is a job, and jobs run some hours."""
    for each in s.resources:
        if each.type == _SERVICES:
            try:
                if _task_of(each, s) is r:
                    return
            except Unpriceable:
                continue
    for charge in _containers(r, 0, s.usage["job_hours"]):
        yield Charge(f"jobs: {charge.what}", charge.key, charge.low, charge.high, shared="job_hours")


def _containers(task: Resource, least: float, most: float) -> Iterable[Charge]:
    """vCPU and memory of a Fargate task for ``least`` to ``most`` hours."""
    machine = task.text("runtimePlatform", "cpuArchitecture", default="X86_64").lower()
    cpu = _size(task, "cpu", 1024)
    memory = _size(task, "memory", 1024)
    yield Charge(f"{cpu:g} vCPU {machine}", f"fargate.vcpu.{machine}", cpu * least, cpu * most)
    yield Charge(f"{memory:g} GB memory", f"fargate.memory.{machine}", memory * least, memory * most)
    extra = task.number("ephemeralStorage", "sizeInGib", default=20) - 20
    if extra > 0:
        yield Charge("disk above 20 GB", "fargate.storage", extra * least, extra * most)


def _size(task: Resource, name: str, per: float) -> float:
    """``"512"``, ``512`` or ``".5 vCPU"``, ``"2 GB"``: vCPU or GB."""
    text = task.text(name)
    plain = re.fullmatch(r"([0-9.]+)\s*(vCPU|GB)?", text, flags=re.IGNORECASE)
    if not plain:
        raise Unpriceable(f"{name} {text!r} is no size of a Fargate task" if text else f"{name} is not given")
    return float(plain[1]) if plain[2] else float(plain[1]) / per


def _logs(r: Resource, s: Scene) -> Iterable[Charge]:
    days = r.number("retentionInDays", default=0)
    yield s.used("logs written", "logs.ingest", "logs_gb")
    # AWS bills the compressed size; this is the upper bound.
    months = (days or 365) / 30
    yield Charge("logs kept", "logs.storage", 0, s.usage["logs_gb"] * months, shared="logs.storage")


def _alarm(r: Resource, s: Scene) -> Iterable[Charge]:
    queries = [query for query in r.items("metricQueries") if isinstance(query, Mapping)]
    metrics = [Resource(r.type, r.name, inputs=query) for query in queries if query.get("metric")]
    periods = [metric.number("metric", "period", default=300) for metric in metrics]
    fast = min([r.number("period", default=300), *periods]) < 60
    key = "cloudwatch.alarm.fast" if fast else "cloudwatch.alarm"
    yield s.fixed("metrics watched", key, len(metrics) or 1)


def _dashboard(r: Resource, s: Scene) -> Iterable[Charge]:
    # The first three of an account are free; whether these are, only the account knows.
    yield Charge("dashboard", "cloudwatch.dashboard", 0, 1)


def _waf(r: Resource, s: Scene) -> Iterable[Charge]:
    yield s.fixed("access control list", "waf.acl")
    rules = len(r.items("rules"))
    if rules:
        yield s.fixed(f"rules, {rules}", "waf.rule", rules)
    yield s.used("requests looked at", "waf.requests", "requests", 1_000_000)


def _zone(r: Resource, s: Scene) -> Iterable[Charge]:
    yield s.fixed("zone", "route53.zone")
    yield s.used("look-ups", "route53.queries", "requests", 1_000_000)


def _trail(r: Resource, s: Scene) -> Iterable[Charge]:
    """The first trail's management events are free; those of objects are billed."""
    if r.items("eventSelectors") or r.items("advancedEventSelectors"):
        yield s.used("events of objects", "cloudtrail.events", "object_calls", 100_000)


def _vault(r: Resource, s: Scene) -> Iterable[Charge]:
    yield s.used("copies kept", "backup.storage", "backup_gb", shared="backup_gb")


def _function(r: Resource, s: Scene) -> Iterable[Charge]:
    # One call an hour of uptime, a second long: schedules and rotations; nothing of ours serves from Lambda.
    calls = s.hours
    gigabytes = r.number("memorySize", default=128) / 1024
    machine = str((r.items("architectures") or ["x86_64"])[0])
    yield Charge("calls", "lambda.requests", 0, calls / 1_000_000)
    yield Charge("seconds", f"lambda.time.{machine}", 0, calls * gigabytes)


def _flow_log(r: Resource, s: Scene) -> Iterable[Charge]:
    yield s.used("network logs written", "logs.vended", "flow_gb")


def _parameter(r: Resource, s: Scene) -> Iterable[Charge]:
    if r.text("tier", default="Standard") == "Advanced":
        yield s.fixed("advanced parameter", "ssm.advanced")


def _disk(r: Resource, s: Scene) -> Iterable[Charge]:
    if r.text("type", default="gp2") != "gp3":
        raise Unpriceable(f"the price book has no {r.text('type', default='gp2')} volumes")
    yield s.fixed("disk", "ebs.gp3", r.number("size", default=8))


def _certificate(r: Resource, s: Scene) -> Iterable[Charge]:
    if r.get("certificateAuthorityArn") is not None:
        raise Unpriceable("the price book has no private certificates")
    return ()


def _volumes_of(r: Resource, s: Scene) -> Iterable[Charge]:
    """A StatefulSet runs on the cluster's nodes; the volumes it claims are the provider's."""
    if r.items("spec", "volumeClaimTemplates"):
        raise Unpriceable("it claims volumes: what they cost depends on the cluster's provider")
    return ()


def _balancer_of(r: Resource, s: Scene) -> Iterable[Charge]:
    if r.get("spec", "type") == "LoadBalancer":
        raise Unpriceable("what its load balancer costs depends on the cluster's provider")
    return ()


def _simple(*lines: tuple[str, str] | tuple[str, str, str, float], hourly: bool = False) -> Rule:
    """A rule of fixed lines ``(what, key)`` and used ones ``(what, key, use, per)``."""

    def rule(_: Resource, s: Scene) -> Iterable[Charge]:
        for line in lines:
            if len(line) == 2:
                yield s.fixed(line[0], line[1], hourly=hourly)
            else:
                yield s.used(*line)

    return rule


RULES: dict[str, Rule] = {
    "aws:acm/certificate:Certificate": _certificate,
    "kubernetes:apps/v1:StatefulSet": _volumes_of,
    "kubernetes:core/v1:Service": _balancer_of,
    "aws:rds/instance:Instance": _database,
    "aws:s3/bucket:Bucket": _bucket,
    "aws:s3/bucketV2:BucketV2": _bucket,
    "aws:kms/key:Key": _key,
    "aws:kms/replicaKey:ReplicaKey": _key,
    "aws:lb/loadBalancer:LoadBalancer": _load_balancer,
    "aws:alb/loadBalancer:LoadBalancer": _load_balancer,
    "aws:ec2/natGateway:NatGateway": _nat,
    "aws:ec2/eip:Eip": _simple(("public address", "ipv4.hour"), hourly=True),
    "aws:ec2/vpcEndpoint:VpcEndpoint": _endpoint,
    "aws:ec2/flowLog:FlowLog": _flow_log,
    "aws:ebs/volume:Volume": _disk,
    "aws:ecs/cluster:Cluster": _cluster,
    "aws:ecr/registryScanningConfiguration:RegistryScanningConfiguration": _scanning,
    _SERVICES: _service,
    _TASKS: _task,
    "aws:cloudwatch/logGroup:LogGroup": _logs,
    "aws:cloudwatch/logMetricFilter:LogMetricFilter": _simple(("metric", "cloudwatch.metric")),
    "aws:cloudwatch/metricAlarm:MetricAlarm": _alarm,
    "aws:cloudwatch/compositeAlarm:CompositeAlarm": _simple(("alarm", "cloudwatch.alarm.composite")),
    "aws:cloudwatch/dashboard:Dashboard": _dashboard,
    "aws:cloudwatch/eventBus:EventBus": _simple(("events", "events.custom", "alerts", 1_000_000)),
    "aws:sns/topic:Topic": _simple(
        ("messages", "sns.requests", "alerts", 1_000_000), ("mails", "sns.email", "alerts", 100_000)
    ),
    "aws:secretsmanager/secret:Secret": _simple(
        ("secret", "secrets.secret"), ("reads", "secrets.requests", "secret_reads", 10_000)
    ),
    "aws:ecr/repository:Repository": _simple(("images kept", "ecr.storage", "images_gb", 1)),
    "aws:wafv2/webAcl:WebAcl": _waf,
    "aws:route53/zone:Zone": _zone,
    "aws:route53/healthCheck:HealthCheck": _simple(("check", "route53.check")),
    "aws:servicediscovery/privateDnsNamespace:PrivateDnsNamespace": _simple(("zone", "route53.zone")),
    "aws:cloudtrail/trail:Trail": _trail,
    "aws:backup/vault:Vault": _vault,
    "aws:lambda/function:Function": _function,
    "aws:ssm/parameter:Parameter": _parameter,
    "aws:eks/cluster:Cluster": _simple(("control plane", "eks.hour"), hourly=True),
}
