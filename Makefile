# Two commands matter: `make up` (set up, bring the environment up, run the demo, open the console) and
# `make test` (set up, pass the tests). Everything else is a part of them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: up test install lint bench engine latest lock clean

up: install
	@test -f demo/Pulumi.yaml || $(BIN)/modelyard -C demo init --yes
	@$(BIN)/modelyard -C demo up --yes
	@$(BIN)/modelyard -C demo demo
	@$(BIN)/modelyard -C demo console

test: install
	@$(BIN)/python -m pytest

install: $(VENV)/.installed

# The stamp is newer than the lock and the project file, or everything is synchronised again.
$(VENV)/.installed: requirements.lock pyproject.toml
	@PYTHON=$(PYTHON) ./install.sh

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install
	$(BIN)/python benchmarks/bringup.py --quick

# Builds the Pulumi engine from Go modules into an empty cache: the way of a machine that cannot download it.
engine: install
	$(BIN)/python -m pytest -m engine_build

# Resolves without the lock and runs the fast tests: tells us first when a dependency breaks us.
latest:
	$(PYTHON) -m venv .venv-latest
	.venv-latest/bin/python -m pip install --quiet --upgrade uv
	.venv-latest/bin/uv pip install --quiet --python .venv-latest/bin/python -e '.[demo,web,dev]'
	.venv-latest/bin/python -m pytest tests/blueprints tests/stacks tests/mlops tests/tui

# The second lock is what `modelyard init` gives a project's CI: the same pins without our extras.
lock: install
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header --no-annotate --all-extras pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header --no-annotate --constraint requirements.lock pyproject.toml -o stacks/ci/requirements.lock

clean:
	rm -rf $(VENV) .venv-latest
