"""Coverage-guided fuzzing of the gateway's parsers with atheris (libFuzzer):

    python -m tests.mlops.serving.fuzz_bodies -max_total_time=20 CORPUS

Any bytes as a body of any form either parse or are refused in words; everything else is a crash that
libFuzzer writes down.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import atheris
import pyarrow as pa

with atheris.instrument_imports(include=["mlops.serving.gateway"]):
    from mlops.serving.gateway.frames import ARROW
    from tests.mlops.serving.test_gateway_bodies import JSON, SIGNATURES, answers, stream

_KINDS = (ARROW, b"text/csv", JSON[b"content-type"])


def one(data: bytes) -> None:
    """The first byte chooses the form and the signature, the rest is the body."""
    if not data:
        return
    choice, body = data[0], data[1:]
    signature = SIGNATURES[choice % len(SIGNATURES)]
    form = choice // len(SIGNATURES) % (len(_KINDS) + 2)
    if form < len(_KINDS):
        answers(body, signature, False, {b"content-type": _KINDS[form]})
    elif form == len(_KINDS):
        answers(body, signature, True, JSON)
    else:
        length = str(min(len(body), choice)).encode()
        answers(body, signature, True, {**JSON, b"inference-header-content-length": length})


def sow(folder: Path) -> None:
    """Write a sound body of each form for each signature: where mutation starts."""
    names = ["a", "b", "c"]
    row = {"a": 1.5, "b": "x", "c": 3}
    tensors = [{"name": name, "shape": [1], "datatype": "FP64", "data": [1.0]} for name in names]
    bodies = [
        stream(pa.table({name: [value] for name, value in row.items()})),
        b"a,b,c\n1.5,x,3\n",
        json.dumps({"dataframe_split": {"columns": names, "data": [list(row.values())]}}).encode(),
        json.dumps({"dataframe_records": [row], "parameters": {"ids": ["1"]}}).encode(),
        json.dumps({"instances": [[1.0, 2.0]], "inputs": {"a": [1.0]}}).encode(),
        json.dumps({"inputs": tensors, "parameters": {"event_times": ["2013-01-01"]}}).encode(),
    ]
    for number, body in enumerate(bodies):
        for choice in range(256):
            (folder / f"{number}-{choice}").write_bytes(bytes([choice]) + body)


if __name__ == "__main__":
    sow(Path(sys.argv[-1]))
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
