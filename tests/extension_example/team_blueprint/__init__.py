"""The blueprint `example`: the team's MLflow server stays where it is; storage and credentials come up here.

This module is what the entry point names. Every command that lists blueprints imports it, so it holds the
declaration only; `build` and the rest are imported when they are needed.
"""

from blueprints.catalog import Blueprint, Cost, Need
from blueprints.layers import Layer

EXAMPLE = Blueprint(
    name="example",
    title="Your MLflow server, a shared folder beside it",
    layers={
        Layer.DATABASE: "the server's own",
        Layer.STORAGE: "folders on the team's share",
        Layer.TRACKING: "your MLflow server",
        Layer.SERVING: "off",
        Layer.MONITORING: "off",
        Layer.ORCHESTRATION: "off",
        Layer.NETWORK: "yours",
        Layer.ACCESS: "generated, encrypted",
    },
    needs={Need.PYTHON: 0, Need.ENGINE: 0},
    cost=Cost(4, 4, approximate=True),
    minutes=0.1,
    built=True,
    target="team_blueprint.build",
    docs="team_blueprint:README.md",
    settings="team_blueprint.settings:Settings",
    prices="team_blueprint:prices.yaml",
    charges="team_blueprint.prices:CHARGES",
    rules="team_blueprint.rules:RULES",
)
