"""Encryption at rest, with keys of the account's own."""

from __future__ import annotations

from collections.abc import Iterator

from stacks.policy.databases import CLUSTER, INSTANCE
from stacks.policy.rule import Resource, Rule, Setting, Severity, example

_VOLUME = "aws:ebs/volume:Volume"
_FILES = "aws:efs/fileSystem:FileSystem"
_KEY = "aws:kms/key:Key"
_ARN = "arn:aws:kms:eu-west-1:111122223333:key/1"
#: Type -> (property that switches encryption on, property that names the key).
_AT_REST = {
    INSTANCE: ("storageEncrypted", "kmsKeyId"),
    CLUSTER: ("storageEncrypted", "kmsKeyId"),
    _VOLUME: ("encrypted", "kmsKeyId"),
    _FILES: ("encrypted", "kmsKeyId"),
}
#: What carries names, texts and images rather than data -> the property that names the key.
_CARRIERS = {
    "aws:cloudwatch/logGroup:LogGroup": "kmsKeyId",
    "aws:sns/topic:Topic": "kmsMasterKeyId",
    "aws:sqs/queue:Queue": "kmsMasterKeyId",
    "aws:secretsmanager/secret:Secret": "kmsKeyId",
    "aws:ecr/repository:Repository": "encryptionConfigurations.0.kmsKey",
}


class DataEncrypted(Rule):
    """Databases, volumes and file systems are encrypted with a managed key."""

    id = "data-encrypted"
    what = "Databases, volumes and file systems are encrypted with a KMS key of the account's own."
    why = "Snapshots leave the database's access control; most cannot be encrypted afterwards."
    fix = "Set storage_encrypted (encrypted on volumes) to True and kms_key_id to the environment's key."
    types = frozenset(_AT_REST)
    fails = example(INSTANCE, storageEncrypted=True)
    passes = example(INSTANCE, storageEncrypted=True, kmsKeyId=_ARN)

    def check(self, resource: Resource, setting: Setting) -> Iterator[str]:
        switch, key = _AT_REST[resource.type]
        if resource.lacks(switch):
            yield f"{switch} is not true"
        elif resource.empty(key):
            yield f"no {key}: the key is not the account's own"


class CarriersEncrypted(Rule):
    """Logs, queues, topics, secrets and images are encrypted with a managed key."""

    id = "logs-and-messages-encrypted"
    severity = Severity.ADVISORY
    what = "Logs, topics, queues, secrets and images are encrypted with a KMS key of the account's own."
    why = "Logs and messages repeat what the data says; the default key cannot be audited or cut off."
    fix = "Set kms_key_id (kms_master_key_id on SNS and SQS) to the environment's key."
    types = frozenset(_CARRIERS)
    fails = example("aws:cloudwatch/logGroup:LogGroup", retentionInDays=30)
    passes = example("aws:cloudwatch/logGroup:LogGroup", retentionInDays=30, kmsKeyId=_ARN)

    def check(self, resource: Resource, setting: Setting) -> Iterator[str]:
        key = _CARRIERS[resource.type]
        if resource.empty(key):
            yield f"no {key}"


class KeyRotated(Rule):
    """Managed keys rotate."""

    id = "key-rotation"
    what = "A KMS key rotates by itself."
    why = "A key that never changes has to stay secret for as long as the oldest backup lives."
    fix = "Set enable_key_rotation=True."
    types = frozenset({_KEY})
    fails = example(_KEY, description="data")
    passes = example(_KEY, description="data", enableKeyRotation=True)

    def check(self, resource: Resource, setting: Setting) -> Iterator[str]:
        kind = resource.get("customerMasterKeySpec") or "SYMMETRIC_DEFAULT"
        usage = resource.get("keyUsage") or "ENCRYPT_DECRYPT"
        # AWS rotates no other kind.
        rotates = kind == "SYMMETRIC_DEFAULT" and usage == "ENCRYPT_DECRYPT"
        if rotates and resource.lacks("enableKeyRotation"):
            yield "enableKeyRotation is not true"


RULES: tuple[Rule, ...] = (DataEncrypted(), CarriersEncrypted(), KeyRotated())
