"""Steady load on a gateway from clients that keep their connections, and what each request came to."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Load:
    """Requests of a few clients, one row each.

    Attributes:
        answered: Requests by version that answered.
        failed: What went wrong, one entry a request.
        ids: Of rows that were answered.
        name: Begins the ids, so that two loads on one model have different ones.
    """

    url: str
    token: str
    model: str
    pause: float = 0.01
    name: str = ""
    answered: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def _client(self, number: int) -> None:
        address = urlsplit(self.url)
        deal = random.Random(number)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        connection = http.client.HTTPConnection(address.hostname or "", address.port or 80, timeout=30)
        count = 0
        while not self._stop.is_set():
            count += 1
            identity = f"{self.name or self.model}-{number}-{count}"
            row = {"x": deal.gauss(0, 1), "y": deal.gauss(0, 1)}
            body = {"dataframe_records": [row], "parameters": {"ids": [identity]}}
            try:
                connection.request("POST", f"/models/{self.model}/invocations", json.dumps(body), headers)
                answer = connection.getresponse()
                text = answer.read()
                with self._lock:
                    if answer.status == 200:
                        self.answered[str(json.loads(text)["model_version"])] += 1
                        self.ids.append(identity)
                    else:
                        self.failed.append(f"{answer.status} {text.decode()[:200]}")
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                with self._lock:
                    self.failed.append(f"{type(error).__name__} {error}")
            self._stop.wait(self.pause)
        connection.close()

    def since(self, seconds: float) -> Counter[str]:
        """Who answers in the next ``seconds``."""
        before = Counter(self.answered)
        time.sleep(seconds)
        return Counter(self.answered) - before


@contextmanager
def steady(
    url: str, token: str, model: str, clients: int = 4, pause: float = 0.01, name: str = ""
) -> Iterator[Load]:
    """Load until the block ends."""
    made = Load(url, token, model, pause, name)
    threads = [
        threading.Thread(target=made._client, args=(number,), daemon=True) for number in range(clients)
    ]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        made._stop.set()
        for thread in threads:
            thread.join(timeout=40)
