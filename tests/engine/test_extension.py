"""Another package's blueprint, installed for real: found, shown, checked, brought up and taken down."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stacks import conformance
from stacks.policy.catalog import RULES
from tests.extension import Installed


def test_an_environment_of_the_extension_from_init_to_destroy(installed: Installed, tmp_path: Path) -> None:
    root = tmp_path / "yard"
    url = "extension.tracking_url=https://mlflow.team.example"
    installed.json("-C", root, "init", "--blueprint", "example", "--set", url, "--yes")
    assert "tracking_url: https://mlflow.team.example" in (root / "Pulumi.dev.yaml").read_text()
    plan = installed.json("-C", root, "preview")
    assert plan["cost"]["total"] == {"low": 4, "high": 4}
    assert {"rule": "example-folder-named", "findings": []}.items() <= {
        key: value
        for each in plan["policy"]
        if each["rule"] == "example-folder-named"
        for key, value in each.items()
    }.items()
    installed.json("-C", root, "up", "--yes")
    try:
        outputs = installed.json("-C", root, "outputs")
        assert outputs["tracking"] == {
            "url": "https://mlflow.team.example",
            "username": "modelyard",
            "password": "[secret]",
        }
        assert set(outputs["storage"]["buckets"]) == {"artifacts", "data", "backups"}
        assert installed.json("-C", root, "preview")["changes"] == 0
        # What the extension's own code decides is part of what a plan was made from.
        saved = tmp_path / "plan.json"
        installed("-C", root, "init", "--set", "extension.account=ada", "--yes")
        installed.json("-C", root, "preview", "--save", saved)
        installed.edit("rules.py", "A rule of the team's own", "A rule of our team's own")
        stale = installed.json("-C", root, "apply", saved, "--yes", code=1)
        assert "program" in stale["error"]
    finally:
        installed.json("-C", root, "destroy", "--yes", "--delete-data=dev")
    assert not (root / ".modelyard" / "dev").exists()


def test_its_keys_are_held_to_like_ours(installed: Installed, tmp_path: Path) -> None:
    words = ("-C", tmp_path / "yard", "init", "--blueprint", "example", "--yes", "--set")
    unknown = installed.json(*words, "extension.tracking_uri=https://a.example", code=2)
    assert "extension.tracking_uri" in unknown["error"]
    assert "extension.tracking_url" in unknown["do"]
    wrong = installed.json(*words, "extension.tracking_url=nowhere", code=2)
    assert "extension.tracking_url" in wrong["where"]
    ours = installed.json("-C", tmp_path / "yard", "init", "--yes", "--set", "extension.account=a", code=2)
    assert "extension.account" in ours["error"]
    assert not (tmp_path / "yard").exists()


def test_its_keys_differ_between_environments_in_words(installed: Installed, tmp_path: Path) -> None:
    root = tmp_path / "yard"
    for name, account in (("dev", "ada"), ("prod", "grace")):
        own = ("--blueprint", "example", "--set", f"extension.account={account}", "--yes")
        installed.json("-C", root, "--env", name, "init", *own)
    told = installed("-C", root, "diff", "dev", "prod")
    assert told.returncode == 0, told.stderr
    assert "extension.account" in told.stdout
    assert "Account there that this environment uses" in told.stdout


def test_its_rules_are_listed_and_told_beside_those_of_the_pack(installed: Installed) -> None:
    rules = {each["id"]: each for each in installed.json("policy")["rules"]}
    assert list(rules) == [*(rule.id for rule in RULES), "example-folder-named"]
    assert rules["example-folder-named"]["family"] == "the blueprint example"
    told = installed("policy", "example-folder-named").stdout
    for part in ("begins with team-", "swept once a month", "Rename it to team-NAME", "blueprint example"):
        assert part in told
    # Rules that cannot be read are told, and hide no others.
    (installed.site / "team_blueprint" / "rules.py").unlink()
    broken = installed("--json", "policy")
    assert len(json.loads(broken.stdout)["rules"]) == len(RULES)
    assert "blueprint example: its rules is 'team_blueprint.rules:RULES'" in broken.stderr


def test_its_rules_stop_an_operation(installed: Installed, tmp_path: Path) -> None:
    installed.edit("build.py", 'f"team-{each}"', "each")
    root = tmp_path / "yard"
    installed.json("-C", root, "init", "--blueprint", "example", "--yes")
    stopped = installed.json("-C", root, "preview", code=1)
    assert "policy example-folder-named" in stopped["error"]
    assert "team-NAME" in stopped["do"]


def test_it_passes_the_suite_and_is_listed(installed: Installed) -> None:
    listed = installed.json("blueprint", "list")
    assert {"name": "example", "built": True, "package": "team_blueprint"}.items() <= next(
        each for each in listed["blueprints"] if each["name"] == "example"
    ).items()
    shown = installed.json("blueprint", "show", "example")
    assert {key["key"] for key in shown["keys"]} == {"extension.tracking_url", "extension.account"}
    assert shown["docs"].startswith("# example")
    checked = installed.json("blueprint", "check", "example", "--yes")
    assert [point["name"] for point in checked["points"]] == POINTS
    assert checked["failed"] == 0


POINTS = [
    *("catalog", "layers", "docs", "keys", "prices", "rules", "build"),
    *("preview", "billing", "up", "environment", "secrets", "protection"),
]


@pytest.mark.parametrize(
    ("point", "file", "before", "after", "says"),
    [
        ("catalog", "__init__.py", "minutes=0.1", "minutes=0", "minutes"),
        ("layers", "__init__.py", 'Layer.ACCESS: "generated, encrypted",', "", "access"),
        ("docs", "__init__.py", "README.md", "NONE.md", "NONE.md"),
        ("keys", "settings.py", '"""Address of the team\'s MLflow server."""', "", "extension.tracking_url"),
        ("prices", "prices.yaml", "unit: month", "unit: moon", "moon"),
        ("rules", "rules.py", 'name="scratch"', 'name="team-a"', "failing fixture passes"),
        ("build", "__init__.py", "team_blueprint.build", "team_blueprint.builds", "team_blueprint.builds"),
        ("preview", "build.py", "team-{each}", "team-{each}-{__import__('uuid').uuid4()}", "two plans"),
    ],
)
def test_a_broken_one_fails_with_the_point_named(
    installed: Installed, point: str, file: str, before: str, after: str, says: str
) -> None:
    installed.edit(file, before, after)
    checked = installed.json("blueprint", "check", "example", "--yes", code=1)
    failed = [each for each in checked["points"] if not each["well"]]
    assert [each["name"] for each in failed] == [point]
    assert says in failed[0]["fact"]
    assert failed[0]["todo"]


def test_what_only_an_environment_that_is_up_shows_is_found(installed: Installed) -> None:
    leak = '    pulumi.export("leak", pulumi.Output.unsecret(access.secret("tracking-password")))\n'
    installed.edit("build.py", "    document: dict", leak + "    document: dict")
    document = "Environment.model_validate(known).revealed()"
    installed.edit("build.py", f"dict({document})", f'{{**{document}, "name": "other"}}')
    checked = installed.json("blueprint", "check", "example", "--yes", code=1)
    failed = {each["name"]: each["fact"] for each in checked["points"] if not each["well"]}
    assert set(failed) == {"environment", "secrets"}
    assert "other" in failed["environment"]
    assert failed["secrets"] == "in plain in the state: tracking.password"


def test_one_that_cannot_be_loaded_is_named_and_stops_nobody_else(
    installed: Installed, tmp_path: Path
) -> None:
    installed.edit("__init__.py", "from blueprints.layers", "from blueprints.nowhere")
    listed = installed.json("blueprint", "list")
    assert "nowhere" in listed["broken"]["example"]
    told = installed.json("-C", tmp_path / "yard", "init", "--blueprint", "example", "--yes", code=2)
    assert "cannot be loaded" in told["error"]
    installed.json("-C", tmp_path / "yard", "init", "--yes")


def test_the_built_in_one_passes_the_same_suite() -> None:
    light = ("database.kind=sqlite", "storage.kind=folder", "serving.enabled=no", "monitoring.enabled=no")
    assert [(point.name, point.fact) for point in conformance.failures("local", light)] == []
    assert [point.name for point in conformance.failures("kubernetes")] == ["catalog", "docs", "build"]
