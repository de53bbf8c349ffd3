"""Slack, Microsoft Teams and PagerDuty, by their own HTTP bodies."""

from __future__ import annotations

from typing import Any

from mlops.monitoring.alerts.notice import Entry, Notice
from mlops.monitoring.alerts.routes.base import post, secret

#: Longest text of a Slack section, of its header, and of a PagerDuty summary.
_SECTION, _HEADER, _SUMMARY = 3000, 150, 1024
PAGERDUTY = "https://events.pagerduty.com/v2/enqueue"


class Slack:
    """An incoming webhook of Slack.

    Args:
        url: Reference to its address: whoever has the address may post.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def send(self, notice: Notice) -> None:
        """Post one message."""
        text = _escaped(notice.text)
        post(
            secret(self._url),
            json={
                "text": _escaped(notice.title),
                "blocks": [
                    {"type": "header", "text": {"type": "plain_text", "text": _cut(notice.title, _HEADER)}},
                    {"type": "section", "text": {"type": "mrkdwn", "text": _cut(text, _SECTION)}},
                    {
                        "type": "context",
                        "elements": [{"type": "plain_text", "text": f"{notice.severity} · {notice.key}"}],
                    },
                ],
            },
        )


class Teams:
    """A workflow of Microsoft Teams that takes an adaptive card.

    Args:
        url: Reference to its address, which is signed.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def send(self, notice: Notice) -> None:
        """Post one card."""
        colour = {"page": "Attention", "ticket": "Warning"}.get(notice.severity, "Default")
        body = [
            {
                "type": "TextBlock",
                "text": notice.title,
                "weight": "Bolder",
                "wrap": True,
                "color": "Good" if notice.status == "resolved" else colour,
            },
            *({"type": "TextBlock", "text": line, "wrap": True} for line in notice.text.splitlines() if line),
        ]
        card = {
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.4",
            "body": body,
        }
        kind = "application/vnd.microsoft.card.adaptive"
        post(
            secret(self._url),
            json={"type": "message", "attachments": [{"contentType": kind, "content": card}]},
        )


class PagerDuty:
    """Events API version 2: one incident an alert, so that one that ends does not end its neighbours.

    Args:
        key: Reference to the routing key.
        url: Address of the API; empty: PagerDuty's own.
    """

    def __init__(self, key: str, url: str = "") -> None:
        self._key, self._url = key, url or PAGERDUTY

    def send(self, notice: Notice) -> None:
        """Trigger, acknowledge or resolve; a repeated event changes nothing there."""
        key = secret(self._key)
        for entry in notice.entries:
            post(self._url, json=_event(key, notice, entry))


def _event(key: str, notice: Notice, entry: Entry) -> dict[str, Any]:
    action = {"acknowledged": "acknowledge", "resolved": "resolve"}.get(entry.status, "trigger")
    severity = {"page": "critical", "ticket": "warning"}.get(entry.severity, "info")
    return {
        "routing_key": key,
        "event_action": action,
        "dedup_key": f"modelyard/{notice.environment}/{entry.id}",
        "payload": {
            "summary": _cut(f"{notice.environment}: {entry.summary}", _SUMMARY),
            "source": notice.model or notice.environment,
            "severity": severity,
            "component": entry.feature,
            "group": f"{notice.model}/{notice.version}",
            "class": entry.kind,
            "custom_details": {"evidence": list(notice.evidence), "since": entry.since},
        },
    }


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
