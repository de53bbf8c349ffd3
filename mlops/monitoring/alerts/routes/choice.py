"""The route that a part of the spec describes."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from blueprints.alerting import RouteSpec
from mlops.monitoring.alerts.notice import Entry, Notice
from mlops.monitoring.alerts.routes.alertmanager import Alertmanager
from mlops.monitoring.alerts.routes.base import Route
from mlops.monitoring.alerts.routes.chat import PagerDuty, Slack, Teams
from mlops.monitoring.alerts.routes.desktop import Desktop
from mlops.monitoring.alerts.routes.mail import Mail
from mlops.monitoring.alerts.routes.webhook import Webhook


def made(spec: RouteSpec) -> Route:
    """The route; nothing is opened and no secret is read before it sends."""
    match spec.kind:
        case "alertmanager":
            return Alertmanager(spec.url)
        case "webhook":
            return Webhook(spec.url, spec.secret)
        case "slack":
            return Slack(spec.url)
        case "teams":
            return Teams(spec.url)
        case "pagerduty":
            return PagerDuty(spec.secret, spec.url)
        case "mail":
            return Mail(spec.url, spec.sender, spec.to, spec.user, spec.secret)
        case "desktop":
            return Desktop()


def trial(route: str, environment: str) -> tuple[Notice, Notice]:
    """A notice that fires, and the one that ends it, so that a trial leaves nothing open behind it."""
    now = datetime.now(UTC).isoformat()
    words = f"This is a trial of the route {route}: nothing is wrong."

    def notice(status: str) -> Notice:
        entry = Entry(0, status, "ticket", "trial", route, "", 0.0, 0.0, words, now)
        title = f"{environment}: trial of the route {route} {status}"
        return Notice(
            uuid.uuid4().hex, route, environment, "", "", status, "ticket", title, (entry,), (), now
        )

    return notice("firing"), notice("resolved")
