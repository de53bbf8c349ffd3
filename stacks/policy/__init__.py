"""The policy pack: rules over the resources of every preview and every update."""

from __future__ import annotations

from pathlib import Path


def pack_folder() -> Path:
    """What ``pulumi preview --policy-pack`` takes."""
    return Path(__file__).resolve().parent
