"""What every route has in common."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import httpx

from mlops.monitoring.alerts.notice import Notice

#: Seconds the other side may take.
TIMEOUT = 10.0


class Refused(Exception):  # noqa: N818 - the other side refused; it is tried again
    """A notice was not taken; the words name no secret and no address that is one."""


class Route(Protocol):
    """One way to reach people."""

    def send(self, notice: Notice) -> None:
        """Deliver; the other side has it when this returns.

        Raises:
            Refused: It was not taken, and why.
        """


def secret(reference: str) -> str:
    """What a reference (``env:NAME``, ``file:/PATH``) names, read anew each time: a rotated one counts
    at once.

    Raises:
        Refused: It names nothing; the words hold the reference, never a value.
    """
    kind, _, name = reference.partition(":")
    if kind == "env":
        value = os.environ.get(name, "")
    else:
        try:
            value = Path(name).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(f"{reference}: {type(error).__name__}") from None
    if not value:
        raise Refused(f"{reference} is not set")
    return value


def post(
    url: str, *, json: Any = None, content: bytes | None = None, headers: Mapping[str, str] = {}
) -> None:
    """POST and expect success.

    Raises:
        Refused: With the answer's number or the kind of fault. Not with the address, which may be a secret,
            nor with the answer's words, which may repeat what was sent.
    """
    try:
        answer = httpx.post(
            url, json=json, content=content, headers=dict(headers), timeout=TIMEOUT, follow_redirects=False
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Refused(f"no answer ({type(error).__name__})") from None
    if not answer.is_success:
        raise Refused(f"answer {answer.status_code}")
