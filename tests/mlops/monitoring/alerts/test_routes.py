"""Each route against a server that answers."""

from __future__ import annotations

import email
import json
import logging
import shutil
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from blueprints.alerting import AlertsSpec, RouteSpec
from blueprints.errors import UsageProblem
from blueprints.keys import assign, validate
from blueprints.spec import EnvironmentSpec
from mlops.monitoring.alerts import Notifier
from mlops.monitoring.alerts.routes import Refused, made, secret, trial
from mlops.monitoring.alerts.routes.webhook import genuine
from tests.mlops.monitoring.alerts.made import Bench, finding
from tests.mlops.yard import free_port, until
from tests.servers import Answer, Request, serving

SECRET = "hunter2-not-in-any-log"


def notices(folder: Path) -> list[Any]:
    """A real firing notice and its end."""
    bench = Bench(folder)
    for found in (True, True, False, False, False):
        bench.window(finding("x & <y>", found=found))
    return bench.sent()


@pytest.fixture
def got() -> list[Request]:
    return []


@pytest.fixture
def receiver(got: list[Request]) -> Iterator[str]:
    def answer(request: Request) -> Answer:
        got.append(request)
        return Answer(202, {})

    with serving(answer) as url:
        yield url


def reference(folder: Path, value: str) -> str:
    """A file that holds a secret, as a reference."""
    file = folder / "secret"
    file.write_text(value + "\n")
    return f"file:{file}"


def test_a_webhook_is_signed_over_time_and_body(tmp_path: Path) -> None:
    seen: list[tuple[dict[str, str], bytes]] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            headers, length = {}, 0
            self.rfile.readline()
            while line := self.rfile.readline().decode().strip():
                name, _, value = line.partition(": ")
                headers[name] = value
                length = int(value) if name.lower() == "content-length" else length
            seen.append((headers, self.rfile.read(length)))
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with listening(Handler) as port:
        key = reference(tmp_path, SECRET)
        route = made(RouteSpec(name="h", kind="webhook", url=f"http://127.0.0.1:{port}/x", secret=key))
        notice = notices(tmp_path)[0]
        route.send(notice)
    ((headers, body),) = seen
    now = time.time()
    assert genuine(SECRET, headers, body, now)
    assert not genuine("other", headers, body, now)
    assert not genuine(SECRET, headers, body + b" ", now)
    assert not genuine(SECRET, headers, body, now + 301)
    assert not genuine(SECRET, {}, body, now)
    assert json.loads(body)["key"] == notice.key
    assert SECRET not in str(headers)


@contextmanager
def listening(handler: type[socketserver.BaseRequestHandler]) -> Iterator[int]:
    """A TCP server until the block ends; its port."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield int(server.server_address[1])
        server.shutdown()


def test_slack_gets_a_message(tmp_path: Path, receiver: str, got: list[Request]) -> None:
    url = reference(tmp_path, f"{receiver}/services/{SECRET}")
    made(RouteSpec(name="s", kind="slack", url=url)).send(notices(tmp_path)[0])
    (request,) = got
    assert request.path == f"/services/{SECRET}"
    assert request.data["text"] == "prod: m v1: drift firing: x &amp; &lt;y&gt;"
    assert request.data["blocks"][1]["text"]["text"] == "x &amp; &lt;y&gt; moved"


def test_teams_gets_a_card(tmp_path: Path, receiver: str, got: list[Request]) -> None:
    url = reference(tmp_path, f"{receiver}/workflow")
    made(RouteSpec(name="t", kind="teams", url=url)).send(notices(tmp_path)[1])
    card = got[0].data["attachments"][0]["content"]
    assert (card["type"], card["body"][0]["color"]) == ("AdaptiveCard", "Good")
    assert card["body"][1]["text"] == "over: x & <y> moved"


def test_pagerduty_is_triggered_and_resolved_under_one_key(
    tmp_path: Path, receiver: str, got: list[Request]
) -> None:
    spec = RouteSpec(name="p", kind="pagerduty", url=receiver, secret=reference(tmp_path, SECRET))
    for notice in notices(tmp_path):
        made(spec).send(notice)
    assert [r.data["event_action"] for r in got] == ["trigger", "resolve"]
    assert len({r.data["dedup_key"] for r in got}) == 1
    assert got[0].data["routing_key"] == SECRET
    assert got[0].data["payload"]["severity"] == "warning"


class Smtp(socketserver.StreamRequestHandler):
    """As much of RFC 5321 as one mail takes."""

    mails: list[Message] = []
    logins: list[str] = []

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline().decode().strip():
            verb = line.split(" ")[0].upper()
            if verb == "EHLO":
                self.wfile.write(b"250-here\r\n250 AUTH PLAIN\r\n")
            elif verb == "AUTH":
                self.logins.append(line)
                self.wfile.write(b"235 welcome\r\n")
            elif verb == "DATA":
                self.wfile.write(b"354 go on\r\n")
                lines = []
                while (text := self.rfile.readline()) != b".\r\n":
                    lines.append(text)
                self.mails.append(email.message_from_bytes(b"".join(lines)))
                self.wfile.write(b"250 taken\r\n")
            elif verb == "QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            else:
                self.wfile.write(b"250 yes\r\n")


def test_mail_has_the_key_as_its_id(tmp_path: Path) -> None:
    Smtp.mails.clear()
    Smtp.logins.clear()
    with listening(Smtp) as port:
        spec = RouteSpec(
            name="m",
            kind="mail",
            url=f"smtp://127.0.0.1:{port}",
            sender="modelyard@example.com",
            to=("a@example.com", "b@example.com"),
            user="u",
            secret=reference(tmp_path, SECRET),
        )
        notice = notices(tmp_path)[0]
        made(spec).send(notice)
    (mail,) = Smtp.mails
    assert mail["Subject"] == notice.title
    assert notice.key in mail["Message-ID"]
    assert mail["To"] == "a@example.com, b@example.com"
    assert "x & <y> moved" in mail.get_payload()
    assert len(Smtp.logins) == 1


def test_the_desktop_is_told_by_the_program_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    route = made(RouteSpec(name="d", kind="desktop"))
    monkeypatch.setenv("PATH", str(tmp_path))
    notice = notices(tmp_path)[0]
    with pytest.raises(Refused, match="not on PATH"):
        route.send(notice)
    for name in ("notify-send", "osascript"):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/said\n')
        program.chmod(0o755)
    route.send(notice)
    assert notice.title in (tmp_path / "said").read_text()


def test_refusals_name_no_secret(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    def answer(request: Request) -> Answer:
        return Answer(403, {"echo": request.path, "data": request.data})

    with serving(answer) as url:
        slack = reference(tmp_path, f"{url}/{SECRET}")
        bench = Bench(tmp_path, routes=(RouteSpec(name="s", kind="slack", url=slack),))
        for _ in range(2):
            bench.window(finding("x"))
        notifier = Notifier(bench.alerts, lambda: bench.now)
        assert notifier.deliver() == 0
        assert notifier.faults() == {"route s": "1 notices wait: answer 403"}
    bench.later(seconds=5)
    assert notifier.deliver() == 0
    assert "no answer" in notifier.faults()["route s"]
    Path(slack[5:]).unlink()
    bench.later(seconds=10)
    assert notifier.deliver() == 0
    ours = [r.getMessage() for r in caplog.records if r.name.startswith("mlops")]
    assert ours
    assert SECRET not in "".join(ours) + str(notifier.faults())
    for wrong in ("env:NOT_SET_ANYWHERE", "file:/nowhere"):
        with pytest.raises(Refused, match=wrong):
            secret(wrong)


@pytest.mark.parametrize(
    "spec",
    [
        {"kind": "slack", "url": f"https://hooks.example.com/{SECRET}"},
        {"kind": "webhook", "url": "https://example.com", "secret": SECRET},
        {"kind": "webhook", "url": f"https://u:{SECRET}@example.com", "secret": "env:K"},
        {"kind": "webhook", "url": "https://example.com"},
        {"kind": "pagerduty"},
        {"kind": "mail", "url": "smtp://localhost"},
    ],
)
def test_a_secret_in_clear_and_a_route_with_holes_are_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"r: (give|use)"):
        RouteSpec(name="r", **spec)
    routes = [{"name": "r", **spec}]
    with pytest.raises(UsageProblem) as caught:
        validate({"monitoring": {"alerts": {"routes": routes}}})
    assert SECRET not in str(caught.value)
    with pytest.raises(UsageProblem) as caught:
        assign(EnvironmentSpec(), [f"monitoring.alerts.routes={json.dumps(routes)}"])
    assert SECRET not in str(caught.value)


def test_a_real_alertmanager_fires_and_resolves(tmp_path: Path) -> None:
    program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if program is None:
        pytest.skip("no Alertmanager on PATH: apt-get install prometheus-alertmanager")
    config, port = tmp_path / "am.yml", free_port()
    config.write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    argv = [program, f"--config.file={config}", f"--storage.path={tmp_path / 'am'}"]
    argv += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
    url = f"http://127.0.0.1:{port}"

    def active() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = httpx.get(f"{url}/api/v2/alerts", trust_env=False).json()
        return [each for each in found if each["status"]["state"] == "active"]

    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            until(lambda: httpx.get(f"{url}/-/ready", trust_env=False).is_success, 30)
            bench = Bench(tmp_path, routes=(RouteSpec(name="am", kind="alertmanager", url=url),))
            notifier = Notifier(bench.alerts, lambda: bench.now)
            for _ in range(2):
                bench.window(finding("x"))
            assert notifier.deliver() == 1
            notifier.refresh()
            (alert,) = until(active)
            assert alert["labels"] == {
                "alertname": "modelyard_drift",
                "environment": "prod",
                "model": "m",
                "version": "1",
                "feature": "x",
                "severity": "ticket",
            }
            assert alert["annotations"] == {"summary": "x moved"}
            for _ in range(3):
                bench.window(finding("x", found=False))
            assert notifier.deliver() == 1
            until(lambda: not active())
        finally:
            server.terminate()


def test_a_trial_ends_what_it_opens() -> None:
    first, last = trial("r", "prod")
    assert (first.status, last.status, first.entries[0].id) == ("firing", "resolved", last.entries[0].id)
    assert AlertsSpec().routes == ()
