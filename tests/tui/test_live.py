"""The commands against a live environment: real engine, real services."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlops.governance.audit import AuditLog
from tests.conftest import Live
from tests.tui.conftest import Modelyard
from tui.cli.output import MASK
from tui.session import Session


def secrets(live: Live) -> list[str]:
    environment = live.environment
    assert environment.serving
    assert environment.monitoring
    return [
        environment.tracking.password.get_secret_value(),
        environment.storage.secret_key.get_secret_value(),
        environment.serving.token.get_secret_value(),
        environment.monitoring.token.get_secret_value(),
        *(database.url.get_secret_value() for database in environment.databases.values()),
    ]


@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["runs"],
        ["models"],
        ["deployments"],
        ["alerts", "--all"],
        ["outputs"],
        ["secrets"],
        ["env", "--shell", "sh"],
        ["env", "--shell", "fish"],
        ["logs", "tracking", "-n", "5"],
        ["console"],
        [],
        ["preview", "--all"],
    ],
)
def test_text_and_json_tell_no_secret(live: Live, modelyard: Modelyard, words: list[str]) -> None:
    text = modelyard("-C", live.project.root, *words)
    document = modelyard("-C", live.project.root, "--json", *words)
    assert (text.code, document.code) == (0, 0), text.err + document.err
    assert text.out
    assert isinstance(json.loads(document.out), dict)
    for secret in secrets(live):
        assert secret not in text.out + text.err + document.out + document.err


def test_status_lists_every_service(live: Live, modelyard: Modelyard) -> None:
    document = json.loads(modelyard("-C", live.project.root, "status", "--json").out)
    assert document["well"] is True
    names = {service["name"] for service in document["services"]}
    assert names == {service.name for service in live.environment.services}


def test_outputs_reveal_one_secret_when_asked(live: Live, modelyard: Modelyard) -> None:
    root = live.project.root
    assert modelyard("-C", root, "outputs", "tracking.password").out.strip() == MASK
    told = modelyard("-C", root, "outputs", "--show-secrets", "tracking.password")
    assert told.out == live.environment.tracking.password.get_secret_value() + "\n"
    entry = AuditLog(live.project.audit_file).tail(1)[0]
    assert (entry.action, entry.after, entry.target) == (
        "secret.reveal",
        {"key": "tracking.password"},
        "yard/dev",
    )
    near = modelyard("-C", root, "outputs", "tracking.pasword")
    assert near.code == 2
    assert "tracking.password" in near.err


def test_every_reveal_is_an_act_of_its_own_in_the_audit_log(live: Live, modelyard: Modelyard) -> None:
    root, log = live.project.root, AuditLog(live.project.audit_file)
    before = len(list(log.entries()))
    for words in (
        ["--show-secrets"],
        ["--show-secrets", "tracking"],
        ["--show-secrets", "--all", "tracking.url"],
    ):
        told = modelyard("-C", root, "outputs", *words)
        assert told.code == 2, words
        assert not any(secret in told.out + told.err for secret in secrets(live))
    assert modelyard("-C", root, "outputs", "--show-secrets", "tracking.url").code == 0
    assert len(list(log.entries())) == before
    told = modelyard("-C", root, "outputs", "--show-secrets", "--all", "--why", "hand over")
    assert all(secret in told.out for secret in secrets(live))
    entries = list(log.entries())[before:]
    assert {(entry.action, entry.why) for entry in entries} == {("secret.reveal", "hand over")}
    assert {"tracking.password", "storage.secret_key"} <= {entry.after["key"] for entry in entries}


def test_what_cannot_be_recorded_is_not_revealed(live: Live, modelyard: Modelyard) -> None:
    path = live.project.audit_file
    kept = path.with_name("kept")
    path.rename(kept)
    path.mkdir()
    try:
        told = modelyard("-C", live.project.root, "outputs", "--show-secrets", "tracking.password")
    finally:
        path.rmdir()
        kept.rename(path)
    assert told.code == 1
    assert "not recorded" in told.err
    assert told.out == ""


def test_shell_lines_fetch_the_secret_themselves(live: Live, modelyard: Modelyard) -> None:
    lines = modelyard("-C", live.project.root, "env", "--shell", "sh").out
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", lines + '\nprintf %s "$MLFLOW_TRACKING_PASSWORD"'],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == live.environment.tracking.password.get_secret_value()
    last = AuditLog(live.project.audit_file).tail(4)
    assert ("secret.reveal", {"key": "tracking.password"}) in [(each.action, each.after) for each in last]


def test_a_shell_that_evaluated_the_lines_logs_a_run(live: Live) -> None:
    program = (
        "import mlflow; mlflow.set_experiment('shell')\n"
        "with mlflow.start_run(run_name='from sh') as run: mlflow.log_metric('m', 7)\n"
        "print(mlflow.get_run(run.info.run_id).data.metrics)\n"
    )
    python = Path(sys.executable)
    env = {"PATH": f"{python.parent}:{os.environ['PATH']}", "HOME": os.environ["HOME"]}
    script = 'eval "$(modelyard -C "$1" env --shell sh)" && exec python -c "$2"'
    done = subprocess.run(
        ["sh", "-c", script, "sh", str(live.project.root), program],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "{'m': 7.0}" in done.stdout


def _exec(live: Live, *command: str) -> list[str]:
    return [sys.executable, "-m", "tui.cli.main", "-C", str(live.project.root), "exec", "--", *command]


def test_exec_gives_the_child_alone_its_credentials(live: Live) -> None:
    code = (
        "import os, sys, urllib.request, base64\n"
        "pair = os.environ['MLFLOW_TRACKING_USERNAME'] + ':' + os.environ['MLFLOW_TRACKING_PASSWORD']\n"
        "url = os.environ['MLFLOW_TRACKING_URI'] + '/api/2.0/mlflow/experiments/search?max_results=1'\n"
        "request = urllib.request.Request(url)\n"
        "request.add_header('Authorization', 'Basic ' + base64.b64encode(pair.encode()).decode())\n"
        "print(urllib.request.urlopen(request).status, *sys.argv[1:])\n"
        "sys.exit(41)\n"
    )
    before = dict(os.environ)
    done = subprocess.run(
        _exec(live, sys.executable, "-c", code, "--json", "-C"), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (41, "200 --json -C"), done.stderr
    assert dict(os.environ) == before
    entry = AuditLog(live.project.audit_file).tail(1)[0]
    assert (entry.action, entry.target) == ("secret.give", "yard/dev")
    assert set(entry.after) == {"keys", "command"}
    assert entry.after["command"] == Path(sys.executable).name
    assert "tracking.password" in entry.after["keys"]


def test_exec_passes_signals_through(live: Live) -> None:
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    child = subprocess.Popen(_exec(live, sys.executable, "-c", code), stdout=subprocess.PIPE, text=True)
    assert child.stdout
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGTERM)
    assert child.wait(20) == 7
    child.stdout.close()


def test_exec_of_nothing_that_exists(live: Live) -> None:
    done = subprocess.run(_exec(live, "no-such-command-here"), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "cannot be started" in done.stderr


def test_up_again_changes_nothing_and_leaves_a_trace(live: Live, modelyard: Modelyard) -> None:
    log = AuditLog(live.project.audit_file)
    before = len(list(log.entries()))
    told = modelyard("-C", live.project.root, "up", "--yes", "--json", "--why", "nothing new")
    assert told.code == 0, told.err
    assert json.loads(told.out)["changes"] == 0
    # One look at the truth is enough to know that there is nothing to do.
    assert "bringing the environment up" not in told.err
    fresh = list(log.entries())[before:]
    assert [entry.action for entry in fresh] == ["environment.up.started", "environment.up.done"]
    assert {entry.why for entry in fresh} == {"nothing new"}
    assert log.verify().sound


def test_unknown_service_names_the_known(live: Live, modelyard: Modelyard) -> None:
    told = modelyard("-C", live.project.root, "logs", "trackin")
    assert told.code == 2
    assert "tracking" in told.err


def test_following_a_log_ends_with_ctrl_c(live: Live) -> None:
    command = [sys.executable, "-m", "tui.cli.main", "-C", str(live.project.root), "logs", "tracking", "-f"]
    # A suite that runs in the background of a shell ignores Ctrl-C, and so would whatever it starts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    assert child.stdout
    assert child.stdout.readline()
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=20)
    assert child.returncode == 0
    assert "Traceback" not in errors


def test_a_session_makes_each_client_once(live: Live) -> None:
    with Session.open(live.project.root) as session:
        assert session.tracking() is session.tracking()
        assert session.environment() is session.environment()
        session.tracking().ready()
        first = session.environment()
        assert session.environment(again=True) == first


def test_an_unknown_alert_is_refused(live: Live, modelyard: Modelyard) -> None:
    told = modelyard("-C", live.project.root, "alerts", "acknowledge", "999999999")
    assert told.code in (1, 2)
    assert "999999999" in told.err


def firing_alert(live: Live, model: str) -> int:
    """A firing alert in the environment's own database, as the monitor writes one; its number."""
    from datetime import UTC, datetime

    from mlops.monitoring.alerts import Alerts, AlertStore, Observation
    from mlops.monitoring.distribution import Distribution

    assert live.environment.monitoring
    store = AlertStore(live.environment.monitoring.database.url.get_secret_value())
    now = datetime.now(UTC)
    seen = Observation(
        kind="drift",
        severity="ticket",
        model=model,
        version="1",
        feature="distance",
        statistic="psi",
        value=0.4,
        threshold=0.1,
        p_value=0.001,
        bad=True,
        summary="distance moved away from the reference",
        window_start=now,
        window_end=now,
        window_rows=2000,
        reference=Distribution(("short", "long"), (0.5, 0.5)),
        current=Distribution(("short", "long"), (0.9, 0.1)),
    )
    # Whether one bad window fires or several are needed is the monitor's affair.
    for _ in range(5):
        Alerts(store).observe([seen])
    return next(alert.id for alert in store.alerts("firing") if alert.model == model)


def test_an_alert_is_shown_and_acknowledged(live: Live, modelyard: Modelyard) -> None:
    number = firing_alert(live, "cli-test")
    root = live.project.root
    assert "distance moved away" in modelyard("-C", root, "alerts").out
    shown = modelyard("-C", root, "alerts", "show", str(number))
    assert "90.0%" in shown.out
    told = modelyard("-C", root, "alerts", "acknowledge", str(number), "--why", "known holiday", "--json")
    assert told.code == 0, told.err
    assert json.loads(told.out)["state"] == "acknowledged"
    firing = json.loads(modelyard("-C", root, "alerts", "--json").out)["alerts"]
    assert number not in [alert["id"] for alert in firing]
    every = json.loads(modelyard("-C", root, "alerts", "--all", "--json").out)["alerts"]
    assert number in [alert["id"] for alert in every]
    acts = [
        entry
        for entry in AuditLog(live.project.audit_file).entries()
        if entry.action == "alert.acknowledge" and entry.target.startswith(f"alert {number} ")
    ]
    assert [act.why for act in acts] == ["known holiday"]


def test_a_model_and_its_aliases(live: Live, modelyard: Modelyard) -> None:
    import httpx

    tracking = live.environment.tracking
    auth = (tracking.username, tracking.password.get_secret_value())
    with httpx.Client(base_url=f"{tracking.url}/api/2.0/mlflow", auth=auth, trust_env=False) as server:
        body = {"name": "cli-model"}
        server.post("/registered-models/create", json=body).raise_for_status()
        server.post(
            "/model-versions/create", json=body | {"source": "s3://artifacts/cli-model"}
        ).raise_for_status()
        alias = body | {"alias": "baseline", "version": "1"}
        server.post("/registered-models/alias", json=alias).raise_for_status()
    told = modelyard("-C", live.project.root, "models", "cli-model", "--json")
    assert [version["aliases"] for version in json.loads(told.out)["versions"]] == [["baseline"]]
    assert "baseline v1" in modelyard("-C", live.project.root, "models").out
    missing = modelyard("-C", live.project.root, "models", "no-such")
    assert missing.code == 2
    assert "cli-model" in missing.err
