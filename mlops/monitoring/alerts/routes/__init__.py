"""Routes: how a notice reaches people. ``made(spec).send(notice)`` sends or raises :class:`Refused`."""

from __future__ import annotations

from mlops.monitoring.alerts.routes.base import Refused, Route, secret
from mlops.monitoring.alerts.routes.choice import made, trial

__all__ = ["Refused", "Route", "made", "secret", "trial"]
