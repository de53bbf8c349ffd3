"""What of a request may be recorded: sampling and redaction, decided before anything touches a disk."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from blueprints.environment import Environment
from blueprints.spec import LogSpec

#: What stands for the words of a failure where columns are redacted.
UNSAID = "words left out: the environment redacts columns"


@dataclass(frozen=True)
class Policy:
    """What the log may keep.

    Attributes:
        enabled: Record requests at all; labels are taken in any case.
        sample: Share of rows recorded, 0 to 1.
        hashed: Names of columns, each mapped to True (a keyed hash is recorded) or False (nothing is).
        failed_rows: Record the rows of failed requests.
        key: Of the hash; replicas of one environment have the same, so that equal values stay equal.
    """

    enabled: bool = True
    sample: float = 1.0
    hashed: Mapping[str, bool] = field(default_factory=dict)
    failed_rows: bool = False
    key: bytes = b""

    @classmethod
    def of(cls, spec: LogSpec, environment: Environment) -> Policy:
        """As the spec says. The key of the hash comes from secrets of the environment, and is not stored."""
        secrets = [environment.storage.secret_key]
        if environment.serving:
            secrets.append(environment.serving.token)
        seed = "\0".join(secret.get_secret_value() for secret in secrets)
        return cls(
            spec.enabled,
            spec.sample,
            {each.removesuffix(":hash"): each.endswith(":hash") for each in spec.redact},
            spec.failed_rows,
            hashlib.blake2b(seed.encode(), person=b"modelyard-redact").digest(),
        )

    def sampled(self, identity: str) -> bool:
        """Whether the row with this id is recorded; the same answer whenever and wherever it is asked."""
        digest = hashlib.blake2b(identity.encode("utf-8", "replace"), digest_size=8).digest()
        return int.from_bytes(digest, "big") < self.sample * 2.0**64

    def disguised(self, value: Any) -> str | None:
        """The keyed hash of a value, 32 hexadecimal digits; a missing value stays missing."""
        if value is None or value != value:
            return None
        text = orjson.dumps(value, default=str, option=orjson.OPT_SERIALIZE_NUMPY)
        return hashlib.blake2b(text, digest_size=16, key=self.key[:64]).hexdigest()
