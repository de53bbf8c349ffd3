"""Which keys of the spec would ask for what was really found: the way from drift back to a wish."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from blueprints.errors import Problem
from blueprints.spec import EnvironmentSpec
from stacks.engine.drift import Change, Drift

#: Arguments of the tracking server that a key of the spec decides.
_WORKERS, _HOSTS = "--workers=", "--allowed-hosts="


def assignments(drift: Drift, spec: EnvironmentSpec) -> tuple[str, ...]:
    """``key=value`` for :func:`blueprints.keys.assign` that makes the spec ask for what is there.

    Raises:
        Problem: No key of the spec decides what differs.
    """
    replica = re.fullmatch(r"gateway-(\d+)", drift.name)
    if drift.change is Change.DELETED and replica and int(replica[1]) == spec.serving.replicas:
        return (f"serving.replicas={spec.serving.replicas - 1}",)
    if drift.change is not Change.EDITED:
        raise _no_key(drift, drift.change.value)
    true = {key: (before, after) for key, before, after in drift.detail}
    found: list[str] = []
    for name in drift.properties:
        if (drift.type, name) == ("bucket", "versioned"):
            found.append(f"storage.versioning={true[name][1]}")
        elif (drift.type, drift.name, name) == ("service", "tracking", "argv"):
            found += _of_tracking(drift, *(json.loads(each) for each in true[name]))
        elif (drift.type, name) != ("service", "running"):
            # A service whose definition was edited also counts as not running as it should.
            raise _no_key(drift, name)
    if not found:
        raise _no_key(drift, ", ".join(drift.properties))
    return tuple(found)


def _of_tracking(drift: Drift, recorded: list[str], true: list[str]) -> list[str]:
    before, after = _options(recorded), _options(true)
    found = []
    for option in sorted(before.keys() | after.keys()):
        if before.get(option) == after.get(option):
            continue
        if option == _WORKERS and option in after:
            found.append(f"tracking.workers={after[option]}")
        elif option == _HOSTS and option in after:
            named = [host for host in after[option].split(",") if ":" not in host]
            hosts = [host for host in named if host not in ("localhost", "127.0.0.1")]
            found.append(f"tracking.allowed_hosts={json.dumps(hosts)}")
        else:
            raise _no_key(drift, f"argv {option}")
    return found


def _options(argv: list[str]) -> Mapping[str, str]:
    """``--workers=2`` -> ``{"--workers=": "2"}``; a word that is no such option is a key of its own."""
    parts = (word.partition("=") for word in argv)
    return {name + equals: value for name, equals, value in parts}


def _no_key(drift: Drift, what: str) -> Problem:
    return Problem(
        f"no key of the spec decides this ({what}), so it cannot be adopted",
        where=drift.title,
        expected="drift that a key of the spec decides: versioning of buckets, workers and allowed hosts of"
        " tracking, the last replica of the gateway",
        todo=f"modelyard drift heal, or modelyard drift ignore {drift.name} --until YYYY-MM-DD --why TEXT",
    )
