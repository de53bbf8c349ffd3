"""Protected environments: nothing is lost by one wrong command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stacks.policy.buckets import BUCKET, BUCKETS, VERSIONINGS, of_bucket
from stacks.policy.databases import CLUSTER, INSTANCE, number
from stacks.policy.rule import UNKNOWN, Example, Resource, Rule, Setting, StackRule, example

_PROTECTED = Setting(protected=True)
_TABLE = "aws:dynamodb/table:Table"
_LOCAL_BUCKET = "modelyard:local:Bucket"
_CNPG = "kubernetes:postgresql.cnpg.io/v1:Cluster"
_SWITCH = {
    INSTANCE: "deletionProtection",
    CLUSTER: "deletionProtection",
    "aws:lb/loadBalancer:LoadBalancer": "enableDeletionProtection",
    _TABLE: "deletionProtectionEnabled",
}
_DAYS = 7


class DeletionProtection(Rule):
    """In a protected environment the provider refuses to delete what holds data."""

    id = "deletion-protection"
    what = "In a protected environment databases, tables, load balancers and buckets refuse to be deleted."
    why = "A typed name protects from Modelyard only; this protects from every other client of the account."
    fix = "deletion_protection=True (skip_final_snapshot=False); on buckets leave force_destroy off."
    types = frozenset({*_SWITCH, *BUCKETS})
    fails = example(INSTANCE, _setting=_PROTECTED, deletionProtection=False)
    passes = example(INSTANCE, _setting=_PROTECTED, deletionProtection=True, skipFinalSnapshot=False)

    def check(self, resource: Resource, setting: Setting) -> Iterator[str]:
        if not setting.protected:
            return
        if resource.type in BUCKETS:
            if resource.get("forceDestroy") is True:
                yield "forceDestroy is true"
            return
        switch = _SWITCH[resource.type]
        if resource.lacks(switch):
            yield f"{switch} is not true"
        if resource.type in (INSTANCE, CLUSTER) and resource.get("skipFinalSnapshot") is True:
            yield "skipFinalSnapshot is true"


class DatabaseBackups(Rule):
    """In a protected environment databases are backed up."""

    id = "database-backups"
    what = f"In a protected environment databases keep backups of {_DAYS} days or more."
    why = "A wrong migration or a deleted experiment is noticed days later, not hours."
    fix = f"RDS: backup_retention_period={_DAYS} or more; tables: point_in_time_recovery; CNPG: spec.backup."
    types = frozenset({INSTANCE, CLUSTER, _TABLE, _CNPG})
    fails = example(INSTANCE, _setting=_PROTECTED, backupRetentionPeriod=1)
    passes = example(INSTANCE, _setting=_PROTECTED, backupRetentionPeriod=14)

    def check(self, resource: Resource, setting: Setting) -> Iterator[str]:
        if not setting.protected:
            return
        if resource.type == _CNPG:
            if resource.empty("spec.backup"):
                yield "no spec.backup"
        elif resource.type == _TABLE:
            if resource.lacks("pointInTimeRecovery.enabled"):
                yield "pointInTimeRecovery.enabled is not true"
        elif resource.get("replicateSourceDb") is None:
            days = resource.get("backupRetentionPeriod")
            if days is not UNKNOWN and number(days or 0) < _DAYS:
                yield f"backupRetentionPeriod is {number(days or 0)}"


class ObjectsVersioned(StackRule):
    """In a protected environment buckets keep versions."""

    id = "objects-versioned"
    what = "In a protected environment every bucket keeps versions of its objects."
    why = "An overwritten model or table cannot be brought back without them; replication is no backup."
    fix = "storage.versioning=true in the spec; on AWS an aws.s3.BucketVersioning with status Enabled."
    types = BUCKETS | {_LOCAL_BUCKET}
    fails = Example((Resource(_LOCAL_BUCKET, "it", {"versioned": False}),), _PROTECTED)
    passes = Example(
        (
            Resource(_LOCAL_BUCKET, "it", {"versioned": True}),
            Resource(BUCKET, "cloud", {}),
            Resource(
                min(VERSIONINGS),
                "versions",
                {"versioningConfiguration": {"status": "Enabled"}},
                depends=frozenset({"cloud"}),
            ),
        ),
        _PROTECTED,
    )

    def findings(self, resources: Sequence[Resource], setting: Setting) -> Iterator[tuple[Resource, str]]:
        for bucket in resources if setting.protected else ():
            if bucket.type == _LOCAL_BUCKET:
                if bucket.get("versioned") is False:
                    yield bucket, "versioned is false"
            elif bucket.type in BUCKETS and bucket.get("versioning.enabled") is not True:
                found = of_bucket(bucket, resources, VERSIONINGS)
                if not any(not each.lacks("versioningConfiguration.status", "Enabled") for each in found):
                    yield bucket, "no versioning with status Enabled refers to it"


RULES: tuple[Rule, ...] = (DeletionProtection(), DatabaseBackups(), ObjectsVersioned())
