"""TLS: at the edge, and on the way to the database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stacks.policy.rule import UNKNOWN, Example, Resource, Rule, Setting, example

_LISTENERS = frozenset({"aws:lb/listener:Listener", "aws:alb/listener:Listener"})
_LISTENER = "aws:lb/listener:Listener"
_INGRESS = "kubernetes:networking.k8s.io/v1:Ingress"
_GATEWAY = "kubernetes:gateway.networking.k8s.io/v1:Gateway"
_PARAMETERS = frozenset(
    {"aws:rds/parameterGroup:ParameterGroup", "aws:rds/clusterParameterGroup:ClusterParameterGroup"}
)
_CERTIFICATE = "arn:aws:acm:eu-west-1:111122223333:certificate/1"
_REDIRECT = {"type": "redirect", "redirect": {"protocol": "HTTPS", "port": "443", "statusCode": "HTTP_301"}}


class EdgeTls(Rule):
    """Load balancers and ingresses speak TLS."""

    id = "edge-tls"
    what = "Every listener, Ingress and Gateway serves TLS; plain HTTP only redirects to it."
    why = "Clients of the tracking server send a password with every request; without TLS every hop reads it."
    fix = "Protocol HTTPS with a certificate, port 80 redirecting to it; tls with every host on an Ingress."
    types = _LISTENERS | {_INGRESS, _GATEWAY}
    fails = example(_LISTENER, port=80, protocol="HTTP", defaultActions=[{"type": "forward"}])
    passes = Example(
        (
            Resource(_LISTENER, "plain", {"port": 80, "protocol": "HTTP", "defaultActions": [_REDIRECT]}),
            Resource(_LISTENER, "tls", {"port": 443, "protocol": "HTTPS", "certificateArn": _CERTIFICATE}),
        )
    )

    def check(self, resource: Resource, setting: Setting) -> Iterator[str]:
        if resource.type == _INGRESS:
            yield from _ingress(resource)
        elif resource.type == _GATEWAY:
            protocols = {each.get("protocol") for each in resource.maps("spec.listeners")}
            if protocols and not protocols & {"HTTPS", "TLS", UNKNOWN}:
                yield "no listener has protocol HTTPS or TLS"
        else:
            yield from _listener(resource)


def _listener(resource: Resource) -> Iterator[str]:
    protocol = resource.get("protocol")
    if protocol in (None, "HTTP"):
        actions = resource.maps("defaultActions")
        redirects = bool(actions) and all(_redirects(action) for action in actions)
        if not redirects and not resource.unsure("defaultActions"):
            yield "protocol HTTP does something other than redirect to HTTPS"
    elif protocol in ("HTTPS", "TLS") and resource.empty("certificateArn"):
        yield f"protocol {protocol} has no certificateArn"


def _redirects(action: Mapping[str, Any]) -> bool:
    redirect = action.get("redirect")
    protocol = redirect.get("protocol") if isinstance(redirect, Mapping) else redirect
    return action.get("type") is UNKNOWN or (
        action.get("type") == "redirect" and protocol in ("HTTPS", "#{protocol}S", UNKNOWN)
    )


def _ingress(resource: Resource) -> Iterator[str]:
    if resource.unsure("spec.tls"):
        return
    tls = resource.maps("spec.tls")
    if not tls:
        yield "no spec.tls"
        return
    covered = {host for each in tls for host in each.get("hosts") or ()}
    for rule in resource.maps("spec.rules"):
        host = rule.get("host")
        parent = f"*.{host.partition('.')[2]}" if isinstance(host, str) else ""
        if isinstance(host, str) and covered and not covered & {host, parent}:
            yield f"host {host} is not under spec.tls"


class EdgeTlsVersion(Rule):
    """The edge speaks TLS 1.2 and later."""

    id = "edge-tls-version"
    what = "A TLS listener names a policy of TLS 1.2 or later."
    why = "The default policy of a load balancer still speaks TLS 1.0, which has been withdrawn (RFC 8996)."
    fix = "Set ssl_policy to ELBSecurityPolicy-TLS13-1-2-2021-06."
    types = _LISTENERS
    fails = example(_LISTENER, protocol="HTTPS", certificateArn=_CERTIFICATE)
    passes = example(
        _LISTENER,
        protocol="HTTPS",
        certificateArn=_CERTIFICATE,
        sslPolicy="ELBSecurityPolicy-TLS13-1-2-2021-06",
    )

    def check(self, resource: Resource, setting: Setting) -> Iterator[str]:
        policy = resource.get("sslPolicy")
        if resource.get("protocol") not in ("HTTPS", "TLS") or policy is UNKNOWN:
            return
        modern = isinstance(policy, str) and any(
            part in policy for part in ("TLS13-1-2", "TLS13-1-3", "TLS-1-2", "FS-1-2")
        )
        if not modern:
            yield f"sslPolicy is {policy or 'the default'}"


class DatabaseTls(Rule):
    """The database refuses connections without TLS."""

    id = "database-tls"
    what = "A database refuses connections without TLS."
    why = "The password and every row cross the network; inside a cloud network others may listen."
    fix = 'Keep rds.force_ssl at "1" in the parameter group (the default since PostgreSQL 15).'
    types = _PARAMETERS
    fails = example(
        min(_PARAMETERS), family="postgres18", parameters=[{"name": "rds.force_ssl", "value": "0"}]
    )
    passes = example(
        min(_PARAMETERS), family="postgres18", parameters=[{"name": "rds.force_ssl", "value": "1"}]
    )

    def check(self, resource: Resource, setting: Setting) -> Iterator[str]:
        for each in resource.maps("parameters"):
            if each.get("name") in ("rds.force_ssl", "require_secure_transport"):
                value = each.get("value")
                if value is not UNKNOWN and str(value).lower() not in ("1", "1.0", "on", "true"):
                    yield f"{each['name']} is {value}"


RULES: tuple[Rule, ...] = (EdgeTls(), EdgeTlsVersion(), DatabaseTls())
