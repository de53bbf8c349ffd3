"""Is a service ready? Asked the way its clients will ask."""

from __future__ import annotations

import base64
import socket
import urllib.error
import urllib.request
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Probe:
    """A question and what counts as ready.

    Attributes:
        url: ``http://…`` (a 2xx answer is ready) or ``tcp://host:port`` (a connection is ready).
        username: HTTP basic user, empty: none.
        password: HTTP basic password.
        body: Text to POST as JSON; empty: GET.
    """

    url: str
    username: str = ""
    password: str = ""
    body: str = ""

    def fault(self, timeout: float = 2.0) -> str:
        """Empty when ready, otherwise the reason in a few words."""
        if self.url.startswith("tcp://"):
            return self._tcp_fault(timeout)
        request = urllib.request.Request(self.url, data=self.body.encode() or None)
        if self.body:
            request.add_header("Content-Type", "application/json")
        if self.username:
            pair = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
            request.add_header("Authorization", f"Basic {pair}")
        try:
            with _DIRECT.open(request, timeout=timeout):
                return ""
        except urllib.error.HTTPError as error:
            return f"answers {error.code}"
        except (urllib.error.URLError, TimeoutError, OSError) as error:
            reason = getattr(error, "reason", error)
            return "does not answer" if isinstance(reason, ConnectionError | OSError) else str(reason)

    def _tcp_fault(self, timeout: float) -> str:
        address = urlsplit(self.url)
        try:
            socket.create_connection((address.hostname or "", address.port or 0), timeout).close()
        except OSError:
            return "does not answer"
        return ""


#: Loopback needs no proxy, and a corporate one set in the environment would swallow the question.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
