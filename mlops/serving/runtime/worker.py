"""The process of an isolated version: loads one model, answers frames on an inherited Unix socket.

Run as a file by the Python of the version's own environment, where Modelyard is not installed: it imports the
standard library, numpy, pandas and mlflow, and nothing else. The gateway imports its frames from here.

A frame is ``>IQ`` (bytes of the header, bytes of the body), the header as JSON, the body. Numbers travel as
they lie in memory, texts as JSON. Nothing is unpickled on either side.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import socket
import struct
import sys
import threading
import time
from typing import Any

import numpy as np

LENGTHS = struct.Struct(">IQ")


def pack(header: dict[str, Any], arrays: list[Any]) -> list[Any]:
    """A frame as buffers to be written one after the other; ``arrays`` are described in the header."""
    parts: list[Any] = []
    described = []
    for array in arrays:
        values = np.ascontiguousarray(array)
        if values.dtype.kind == "O":
            raw: Any = json.dumps([_plain(each) for each in values.ravel()]).encode()
        elif values.dtype.kind in "US":
            raw = json.dumps(values.ravel().tolist()).encode()
        else:
            raw = values.view("u1").data if values.size else b""
        kind = "object" if values.dtype.kind in "OUS" else values.dtype.str
        size = raw.nbytes if isinstance(raw, memoryview) else len(raw)
        described.append([kind, list(values.shape), size])
        parts.append(raw)
    head = json.dumps({**header, "arrays": described}).encode()
    return [LENGTHS.pack(len(head), sum(each[2] for each in described)), head, *parts]


def unpack(header: dict[str, Any], body: Any) -> list[Any]:
    """The arrays of a frame; numbers are views of ``body``."""
    found, start = [], 0
    for kind, shape, size in header["arrays"]:
        part = body[start : start + size]
        start += size
        if kind == "object":
            made = np.empty(int(np.prod(shape)), object)
            made[:] = [_rich(each) for each in json.loads(bytes(part))]
            found.append(made.reshape(shape))
        else:
            found.append(np.frombuffer(part, np.dtype(kind)).reshape(shape))
    return found


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, bytes):
        return {"b": base64.b64encode(value).decode()}
    if isinstance(value, (float, np.floating)):
        return None if value != value else float(value)
    if isinstance(value, np.generic):
        return _plain(value.item())
    return str(value)


def _rich(value: Any) -> Any:
    return base64.b64decode(value["b"]) if isinstance(value, dict) else value


def read_exactly(channel: socket.socket, size: int) -> bytearray:
    """So many bytes.

    Raises:
        EOFError: The other side has gone.
    """
    found = bytearray(size)
    view, start = memoryview(found), 0
    while start < size:
        got = channel.recv_into(view[start:])
        if not got:
            raise EOFError
        start += got
    return found


def _answer(model: Any, header: dict[str, Any], body: bytearray) -> list[Any]:
    try:
        import pandas as pd

        arrays = unpack(header, memoryview(body))
        names = header["names"]
        data: Any
        if header["form"] == "array":
            data = arrays[0]
        elif header["form"] == "matrix":
            data = pd.DataFrame(arrays[0], columns=names or None)
        else:
            data = pd.DataFrame(dict(zip(names, arrays)))  # noqa: B905 - the environment may be Python 3.9
        found = model.predict(data)
        outputs: list[str] = []
        if hasattr(found, "to_numpy"):
            outputs = [str(each) for each in getattr(found, "columns", ())]
            found = found.to_numpy()
        elif isinstance(found, dict):
            outputs = [str(each) for each in found]
            found = np.column_stack([np.asarray(each) for each in found.values()])
        return pack({"ok": True, "names": outputs}, [np.asarray(found)])
    except Exception as error:
        text = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
        return pack({"ok": False, "error": text}, [])


def _limit(data: int) -> None:
    """More than this many bytes of memory of its own: MemoryError here, before the machine runs out."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (data, data))
    except (ImportError, ValueError, OSError):
        pass  # the gateway's look at its memory remains


def _end_with(parent: int) -> None:
    """End when the gateway has gone, also in the middle of a prediction."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


def main() -> int:
    """Load, say so, answer until the gateway closes the socket."""
    parser = argparse.ArgumentParser()
    parser.add_argument("fd", type=int)
    parser.add_argument("model")
    parser.add_argument("--data", type=int, default=0, help="bytes of memory of its own at most")
    given = parser.parse_args()
    if given.data:
        _limit(given.data)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    channel = socket.socket(fileno=given.fd)
    start = time.monotonic()
    try:
        import mlflow.pyfunc

        model = mlflow.pyfunc.load_model(given.model)
        hello = {"ok": True, "python": sys.version.split()[0], "seconds": time.monotonic() - start}
    except Exception as error:
        text = (str(error).splitlines() or [""])[0][:300] or type(error).__name__
        channel.sendall(b"".join(pack({"ok": False, "error": text}, [])))
        return 1
    channel.sendall(b"".join(pack(hello, [])))
    while True:
        try:
            head, size = LENGTHS.unpack(read_exactly(channel, LENGTHS.size))
            header = json.loads(bytes(read_exactly(channel, head)))
            body = read_exactly(channel, size)
            channel.sendall(b"".join(_answer(model, header, body)))
        except (EOFError, OSError):
            return 0


if __name__ == "__main__":
    sys.exit(main())
