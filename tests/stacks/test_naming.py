"""Property values as people see them."""

from __future__ import annotations

import pulumi.runtime.rpc

from stacks.engine.naming import MASK, NOT_YET, properties


def test_secrets_are_masked_and_what_is_not_known_yet_says_so() -> None:
    unknown = pulumi.runtime.rpc.UNKNOWN
    shown = properties({"endpoint": unknown, "hosts": ["a", unknown], "password": "x", "__defaults": []})
    assert shown == (("endpoint", NOT_YET), ("hosts", f'["a", "{NOT_YET}"]'), ("password", MASK))
