"""Loopback ports: find free ones, say who holds one."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil

LOOPBACK = "127.0.0.1"
#: Below the range that outgoing connections take their ports from (32768 on Linux, 49152 on macOS), so that
#: a stopped service finds its port again.
_LOW, _HIGH = 20_000, 32_000


def is_free(port: int) -> bool:
    """Whether a server could listen on the loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def candidates(home: Path, name: str) -> Iterator[int]:
    """Ports to try for ``name``, in an order that is the same every time: the first ``up`` after a destroy
    finds the ports of before."""
    start = int.from_bytes(hashlib.sha256(f"{home}\0{name}".encode()).digest()[:4], "big")
    for offset in range(_HIGH - _LOW):
        yield _LOW + (start + offset) % (_HIGH - _LOW)


def holder(port: int) -> psutil.Process | None:
    """The process that listens on the port, when this user may see it."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
                return psutil.Process(connection.pid) if connection.pid else None
    except psutil.Error:
        # macOS tells this to root alone.
        return None
    return None


def describe_holder(port: int) -> str:
    """``postgres, pid 812``, or that it cannot be seen."""
    process = holder(port)
    if process is None:
        return "a process this user cannot see"
    try:
        return f"{process.name()}, pid {process.pid}"
    except psutil.Error:
        return "a process that just ended"
