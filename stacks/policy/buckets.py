"""Buckets: closed to the public, encrypted, versioned where it matters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from stacks.policy.rule import Example, Resource, Rule, Setting, Severity, StackRule, example
from stacks.policy.workloads import document

BUCKET = "aws:s3/bucket:Bucket"
BUCKETS = frozenset({BUCKET, "aws:s3/bucketV2:BucketV2"})
_BLOCK = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
_ACCOUNT_BLOCK = "aws:s3/accountPublicAccessBlock:AccountPublicAccessBlock"
_POLICY = "aws:s3/bucketPolicy:BucketPolicy"
_ACLS = frozenset({"aws:s3/bucketAcl:BucketAcl", "aws:s3/bucketAclV2:BucketAclV2"})
_ENCRYPTIONS = frozenset(
    {
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        "aws:s3/bucketServerSideEncryptionConfigurationV2:BucketServerSideEncryptionConfigurationV2",
    }
)
VERSIONINGS = frozenset(
    {"aws:s3/bucketVersioning:BucketVersioning", "aws:s3/bucketVersioningV2:BucketVersioningV2"}
)
_FOUR = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
_CLOSED = dict.fromkeys(_FOUR, True)
_KMS = {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": "arn:aws:kms:eu-west-1:111122223333:key/1"}


def of_bucket(bucket: Resource, resources: Sequence[Resource], types: frozenset[str]) -> list[Resource]:
    """The resources of ``types`` whose ``bucket`` is this one: by dependency, or by name."""
    names = {value for value in (bucket.get("id"), bucket.get("bucket")) if isinstance(value, str)}
    return [
        each
        for each in resources
        if each.type in types and (each.refers_to(bucket) or each.get("bucket") in names)
    ]


def stack(*parts: tuple[str, dict[str, Any]]) -> Example:
    """An example of a bucket called ``it`` and resources that belong to it."""
    rest = tuple(
        Resource(token, f"part-{at}", props, depends=frozenset({"it"}))
        for at, (token, props) in enumerate(parts)
    )
    return Example((Resource(BUCKET, "it", {}), *rest))


class FourBlocks(Rule):
    """A public access block blocks all four ways."""

    id = "bucket-public-access-block"
    what = "A public access block has all four settings on."
    why = "Each setting closes another way, by old or new ACLs or policies, to make objects public."
    fix = (
        "Set block_public_acls, block_public_policy, ignore_public_acls and restrict_public_buckets to True."
    )
    types = frozenset({_BLOCK, _ACCOUNT_BLOCK})
    fails = Example((Resource(_BLOCK, "it", {**_CLOSED, "restrictPublicBuckets": False}),))
    passes = Example((Resource(_BLOCK, "it", _CLOSED),))

    def check(self, resource: Resource, setting: Setting) -> Iterator[str]:
        off = [name for name in _FOUR if resource.lacks(name)]
        if off:
            yield f"not on: {', '.join(off)}"


class EveryBucketBlocked(StackRule):
    """Every bucket has its public access block."""

    id = "bucket-has-access-block"
    what = "Every bucket has a public access block in the same stack."
    why = "Without one, a single ACL or policy written later makes models and data public."
    fix = "Add an aws.s3.BucketPublicAccessBlock with bucket=bucket.id and all four settings on."
    types = BUCKETS
    fails = stack()
    passes = stack((_BLOCK, _CLOSED))

    def findings(self, resources: Sequence[Resource], setting: Setting) -> Iterator[tuple[Resource, str]]:
        for bucket in resources:
            if bucket.type in BUCKETS and not of_bucket(bucket, resources, frozenset({_BLOCK})):
                yield bucket, "no public access block refers to it"


class NoPublicGrant(Rule):
    """No ACL and no policy gives a bucket to everybody."""

    id = "bucket-no-public-grant"
    what = "No ACL and no bucket policy grants access to everybody."
    why = "A grant to everybody waits for the day somebody takes the public access block away."
    fix = "Take the public ACL away; name accounts or roles as principals of the policy."
    types = BUCKETS | _ACLS | {_POLICY}
    fails = example(
        _POLICY, policy='{"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject"}]}'
    )
    passes = example(
        _POLICY,
        policy='{"Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:*", '
        '"Condition": {"Bool": {"aws:SecureTransport": "false"}}}]}',
    )

    def check(self, resource: Resource, setting: Setting) -> Iterator[str]:
        acl = resource.get("acl")
        if isinstance(acl, str) and (acl.startswith("public-") or acl == "authenticated-read"):
            yield f"acl is {acl}"
        for statement in statements(resource.get("policy")):
            everybody = statement.get("Principal") in ("*", {"AWS": "*"}, {"AWS": ["*"]})
            if statement.get("Effect") == "Allow" and everybody and not statement.get("Condition"):
                yield "a statement allows every principal without a condition"


class BucketEncrypted(StackRule):
    """Every bucket is encrypted with a managed key."""

    id = "bucket-encrypted"
    what = "Every bucket is encrypted with a KMS key of the account's own."
    why = "With a key of one's own, access to data is cut, audited and rotated apart from the bucket."
    fix = (
        "Add an aws.s3.BucketServerSideEncryptionConfiguration: sse_algorithm aws:kms and kms_master_key_id."
    )
    types = BUCKETS
    fails = stack(
        (min(_ENCRYPTIONS), {"rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}}]})
    )
    passes = stack((min(_ENCRYPTIONS), {"rules": [{"applyServerSideEncryptionByDefault": _KMS}]}))

    def findings(self, resources: Sequence[Resource], setting: Setting) -> Iterator[tuple[Resource, str]]:
        for bucket in resources:
            if bucket.type not in BUCKETS:
                continue
            inline = bucket.get("serverSideEncryptionConfiguration.rule")
            configured = [
                rule for each in of_bucket(bucket, resources, _ENCRYPTIONS) for rule in each.maps("rules")
            ]
            rules = [Resource("", "", rule) for rule in (inline, *configured) if rule]
            if not rules and not of_bucket(bucket, resources, _ENCRYPTIONS):
                yield bucket, "no encryption configuration refers to it"
            for rule in rules:
                at = "applyServerSideEncryptionByDefault."
                if rule.lacks(at + "sseAlgorithm", "aws:kms") and rule.lacks(
                    at + "sseAlgorithm", "aws:kms:dsse"
                ):
                    yield bucket, f"sseAlgorithm is {rule.get(at + 'sseAlgorithm')}"
                elif rule.empty(at + "kmsMasterKeyId"):
                    yield bucket, "no kmsMasterKeyId: the key is not the account's own"


class BucketTlsOnly(StackRule):
    """A bucket refuses requests without TLS."""

    id = "bucket-tls-only"
    severity = Severity.ADVISORY
    what = "A bucket policy denies requests without TLS."
    why = "S3 still answers plain HTTP; only a policy stops a client that was configured so by mistake."
    fix = 'Add a bucket policy: Deny s3:* to "*" with Condition Bool aws:SecureTransport false.'
    types = BUCKETS
    fails = stack()
    passes = stack((_POLICY, {"policy": NoPublicGrant.passes.resources[0].props["policy"]}))

    def findings(self, resources: Sequence[Resource], setting: Setting) -> Iterator[tuple[Resource, str]]:
        for bucket in resources:
            if bucket.type not in BUCKETS:
                continue
            policies = of_bucket(bucket, resources, frozenset({_POLICY}))
            if not any(_denies_plain(each) for each in policies):
                yield bucket, "no policy denies aws:SecureTransport false"


def _denies_plain(policy: Resource) -> bool:
    if policy.get("policy") is None or document(policy.get("policy")) is None:
        # Not known yet: it is judged when it is.
        return policy.get("policy") is not None
    return any(
        each.get("Effect") == "Deny" and "aws:SecureTransport" in str(each.get("Condition"))
        for each in statements(policy.get("policy"))
    )


def statements(policy: Any) -> list[dict[str, Any]]:
    """The statements of an IAM policy, JSON text or data; empty when it is not known."""
    found = document(policy)
    listed = found.get("Statement") if isinstance(found, dict) else None
    listed = [listed] if isinstance(listed, dict) else listed
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


RULES: tuple[Rule, ...] = (
    FourBlocks(),
    EveryBucketBlocked(),
    NoPublicGrant(),
    BucketEncrypted(),
    BucketTlsOnly(),
)
