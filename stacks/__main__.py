"""Plain ``pulumi up`` in this folder builds the environment of the selected stack."""

from stacks.program import deploy

deploy()
