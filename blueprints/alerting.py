"""Who hears of what: the alerting part of the monitoring section."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from blueprints.section import Section

Level = Literal["page", "ticket", "digest"]
#: The address of these is itself a secret: whoever knows it may post.
_SECRET_ADDRESS = ("slack", "teams")


_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:/.+")
Hours = Annotated[float, Field(gt=0, le=8760)]


class RuleSpec(Section):
    """Which findings notify, and how loudly; the first rule that fits counts."""

    families: tuple[str, ...] = ()
    """drift, missing, quality, prediction, performance, concept, kpi, resource, fairness, infrastructure,
    rollout, pipeline, source, no_data; empty: all."""
    models: str = "*"
    """Models, * for any part of a name."""
    columns: str = "*"
    """Columns, * for any part of a name."""
    segments: str = "*"
    """Segments such as region=EU, * for any part."""
    importance: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Least share of the model's output that the column explains."""
    predictions_move: bool = False
    """Only where the predictions of the same window drift as well."""
    severity: Literal["any", "ticket", "page"] = "any"
    """Only findings that the test itself calls so."""
    notify: Literal["page", "ticket", "digest", "none"] = "ticket"
    """How loudly; none: stored and charted, nobody hears."""
    windows: Annotated[int, Field(ge=0, le=100)] = 0
    """Bad windows it takes; 0: as monitoring.alerts.windows."""


class RouteSpec(Section):
    """A way to reach people. Secrets are references (env:NAME, file:/PATH), read when a notice is sent."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
    """Its name, as in `modelyard alerts test-route NAME`."""
    kind: Literal["alertmanager", "webhook", "slack", "teams", "pagerduty", "mail", "desktop"]
    """What is at the other end."""
    url: str = ""
    """Address: https://…, for mail smtp://HOST:PORT or smtps://; of slack and teams a reference."""
    secret: str = ""
    """Reference to the webhook's signing key, PagerDuty's routing key, the mail password."""
    user: str = ""
    """Name at the mail server."""
    sender: str = ""
    """From whom mail comes."""
    to: tuple[str, ...] = ()
    """Who gets the mail."""
    levels: tuple[Level, ...] = ("page", "ticket", "digest")
    """What is sent on this route."""

    @model_validator(mode="after")
    def _complete(self) -> RouteSpec:
        # Faults are of the route, not of the field: words about a field quote it, and it may be a secret.
        given = (self.secret, self.url if self.kind in _SECRET_ADDRESS else "")
        if any(each and not _REFERENCE.fullmatch(each) for each in given):
            raise ValueError(f"{self.name}: use env:NAME or file:/PATH, where the secret is, not itself")
        plain = self.kind in ("alertmanager", "webhook", "mail")
        if plain and not re.fullmatch(r"(https?|smtps?)://[^@\s]+", self.url):
            raise ValueError(f"{self.name}: give url, an address without a password in it")
        if self.kind in ("webhook", "pagerduty") and not self.secret:
            raise ValueError(f"{self.name}: give secret, a reference such as env:NAME")
        if self.kind in _SECRET_ADDRESS and not self.url:
            raise ValueError(f"{self.name}: give url, a reference such as env:NAME")
        if self.kind == "mail" and not (self.sender and self.to):
            raise ValueError(f"{self.name}: give sender and to")
        return self


class SourceSpec(Section):
    """An upstream source and the models that live on it."""

    name: Annotated[str, Field(min_length=1)]
    """As reported when it is down."""
    models: tuple[str, ...] = ("*",)
    """Models on it, * for any part of a name."""


class AlertsSpec(Section):
    """What notifies, how, and how often. What is found is stored and charted in any case."""

    windows: Annotated[int, Field(ge=1, le=100)] = 2
    """Bad windows, of the last of_windows, before an alert fires."""
    of_windows: Annotated[int, Field(ge=1, le=100)] = 3
    """Windows that are looked back on; at least as many as windows."""
    clear_windows: Annotated[int, Field(ge=1, le=100)] = 3
    """Good windows in a row before an alert resolves."""
    keep_firing_minutes: Annotated[float, Field(ge=0, le=10080)] = 0.0
    """Minutes an alert goes on firing after its last bad window."""
    effect: Annotated[float, Field(ge=1, le=1000)] = 1.0
    """Times its floor that an effect reaches before drift, missing values, predictions or concepts alert."""
    min_rows: Annotated[int, Field(ge=0)] = 100
    """Windows with fewer rows alert nobody, burn rates and missing data apart."""
    important: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of the output from which a column is important: its drift pages if predictions move."""
    objective: Annotated[float, Field(gt=0, lt=1)] = 0.99
    """Share of events that must be good; the rest is the error budget that burn rates are about."""
    burn_min_events: Annotated[int, Field(ge=1)] = 500
    """Fewer events in a burn-rate window say nothing."""
    no_data_hours: Hours = 24.0
    """Hours without new rows (or labels, where there were some) before that is an alert of its own."""
    repeat_hours: Hours = 4.0
    """Hours after which a page that still fires is sent again; tickets after six times as long."""
    digest_hours: Hours = 24.0
    """Hours between two digests."""
    deployment_silence_minutes: Annotated[float, Field(ge=0, le=10080)] = 60.0
    """Minutes of silence for drift after a deployment or a retraining; 0: none."""
    retention_days: Annotated[int, Field(ge=1, le=3650)] = 90
    """Days that findings, windows and sent notices are kept."""
    rules: tuple[RuleSpec, ...] = ()
    """Rules before the built-in ones; the first that fits counts."""
    routes: tuple[RouteSpec, ...] = ()
    """Where notices go; empty: alerts appear in the console and in /metrics only."""
    sources: tuple[SourceSpec, ...] = ()
    """Upstream sources: one that is down covers the alerts of its models."""

    @model_validator(mode="after")
    def _consistent(self) -> AlertsSpec:
        names = [route.name for route in self.routes]
        if len(set(names)) < len(names):
            raise ValueError("routes: two have the same name")
        return self
