"""The Pulumi CLI on this machine: found, downloaded or built."""

from stacks.toolchain.find import EngineBinary, find_engine

__all__ = ["EngineBinary", "find_engine"]
