"""Databases and ports: nothing of an environment listens to the world but its edge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stacks.policy.rule import UNKNOWN, Example, Resource, Rule, Setting, example
from stacks.policy.workloads import SERVICE, containers

INSTANCE = "aws:rds/instance:Instance"
CLUSTER = "aws:rds/cluster:Cluster"
CLUSTER_INSTANCE = "aws:rds/clusterInstance:ClusterInstance"
KUBERNETES_SERVICE = "kubernetes:core/v1:Service"
_GROUP = "aws:ec2/securityGroup:SecurityGroup"
_GROUP_RULE = "aws:ec2/securityGroupRule:SecurityGroupRule"
_INGRESS_RULE = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"

_EVERYBODY = {"0.0.0.0/0", "::/0"}
_EDGE_PORTS = {80, 443}
#: PostgreSQL, MySQL, SQL Server, Redis, MongoDB, Oracle.
_DATABASE_PORTS = {5432, 3306, 1433, 6379, 27017, 1521}


class DatabaseNotPublic(Rule):
    """No database has a public address."""

    id = "database-not-public"
    what = "A database has no public address."
    why = "A database on the internet is found in minutes, and only its password stands before the data."
    fix = "Set publicly_accessible=False and reach it from inside; make a Kubernetes Service ClusterIP."
    types = frozenset({INSTANCE, CLUSTER_INSTANCE, KUBERNETES_SERVICE})
    fails = example(INSTANCE, publiclyAccessible=True)
    passes = example(INSTANCE, publiclyAccessible=False)

    def check(self, resource: Resource, setting: Setting) -> Iterator[str]:
        if resource.type != KUBERNETES_SERVICE:
            if resource.get("publiclyAccessible") is True:
                yield "publiclyAccessible is true"
            return
        kind = resource.get("spec.type")
        ports = {number(each.get("port")) for each in resource.maps("spec.ports")}
        if kind in ("LoadBalancer", "NodePort") and ports & _DATABASE_PORTS:
            yield f"port {min(ports & _DATABASE_PORTS)} is published by type {kind}"


class NoOpenIngress(Rule):
    """The world reaches ports 80 and 443 and no other."""

    id = "no-open-ingress"
    what = "From everywhere, a security group admits ports 80 and 443 only."
    why = "Every other port belongs to a part that trusts its network: database, tracking server, metrics."
    fix = "Name the security group or address range that needs the port instead of 0.0.0.0/0 or ::/0."
    types = frozenset({_GROUP, _GROUP_RULE, _INGRESS_RULE})
    fails = example(
        _GROUP, ingress=[{"protocol": "tcp", "fromPort": 5432, "toPort": 5432, "cidrBlocks": ["0.0.0.0/0"]}]
    )
    passes = example(
        _GROUP, ingress=[{"protocol": "tcp", "fromPort": 443, "toPort": 443, "cidrBlocks": ["0.0.0.0/0"]}]
    )

    def check(self, resource: Resource, setting: Setting) -> Iterator[str]:
        if resource.type == _GROUP:
            entries = resource.maps("ingress")
        elif resource.type == _GROUP_RULE and resource.get("type") != "ingress":
            entries = []
        else:
            entries = [resource.props]
        for entry in entries:
            sources = {source for source in _sources(entry) if isinstance(source, str)}
            if sources & _EVERYBODY and not _edge(entry):
                yield f"{_ports(entry)} open to {', '.join(sorted(sources & _EVERYBODY))}"


def _sources(entry: Mapping[str, Any]) -> list[Any]:
    found = [entry.get("cidrIpv4"), entry.get("cidrIpv6")]
    for key in ("cidrBlocks", "ipv6CidrBlocks"):
        value = entry.get(key)
        found += value if isinstance(value, list) else []
    return found


def _edge(entry: Mapping[str, Any]) -> bool:
    low, high = entry.get("fromPort"), entry.get("toPort")
    if low is UNKNOWN or high is UNKNOWN:
        return True
    tcp = entry.get("protocol", entry.get("ipProtocol")) in ("tcp", "6", 6, UNKNOWN)
    return tcp and low == high and number(low) in _EDGE_PORTS


def _ports(entry: Mapping[str, Any]) -> str:
    protocol = entry.get("protocol", entry.get("ipProtocol"))
    if protocol in ("-1", -1, "all"):
        return "every port is"
    low, high = number(entry.get("fromPort")), number(entry.get("toPort"))
    return f"port {low} is" if low == high else f"ports {low} to {high} are"


def number(value: Any) -> int:
    """A port as a number; -1 when it is none. Wire numbers are floats, and some arrive as text."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return -1


class LoopbackOnly(Rule):
    """Local services listen on the loopback interface."""

    id = "local-loopback-only"
    what = "A local service listens on the loopback interface only."
    why = "The local blueprint has no TLS edge: another interface would carry passwords and data in clear."
    fix = "Bind 127.0.0.1; to share an environment with a team, use a blueprint with an edge."
    types = frozenset({SERVICE})
    fails = example(SERVICE, argv=["server", "--host=0.0.0.0"])
    passes = example(SERVICE, argv=["server", "--host=127.0.0.1"])

    def check(self, resource: Resource, setting: Setting) -> Iterator[str]:
        for container in containers(resource):
            for word in container.argv:
                address = word.rpartition("=")[2]
                if address in ("0.0.0.0", "::", "[::]", "*") or address.startswith(("0.0.0.0:", "[::]:")):
                    yield f"an argument binds {address}"


class DatabasePassword(Rule):
    """Database passwords are long, or kept by the provider."""

    id = "database-password-strong"
    what = "A database password is managed by the provider or has at least 16 characters."
    why = "A short password is guessed offline once a hash leaks; nobody types it, so length costs nothing."
    fix = "Let it be generated (access layer), or set manage_master_user_password=True on RDS."
    types = frozenset(
        {"modelyard:local:PostgresCluster", "modelyard:local:PostgresDatabase", INSTANCE, CLUSTER}
    )
    fails = example("modelyard:local:PostgresCluster", name="postgres", password="postgres")
    passes = Example(
        (
            Resource("modelyard:local:PostgresCluster", "it", {"password": "x" * 32}),
            Resource(INSTANCE, "managed", {"manageMasterUserPassword": True}),
        )
    )

    def check(self, resource: Resource, setting: Setting) -> Iterator[str]:
        local = resource.type.startswith("modelyard:")
        for key in ("password", "superuser_password") if local else ("password", "masterPassword"):
            value = resource.get(key)
            if isinstance(value, str) and value and len(value) < 16:
                yield f"{key} has fewer than 16 characters"


RULES: tuple[Rule, ...] = (DatabaseNotPublic(), NoOpenIngress(), LoopbackOnly(), DatabasePassword())
