# Two commands do everything: `make run` and `make test`. Each makes .venv first, if need be.
# `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LISTEN ?= 127.0.0.1:2045
ADMIN ?= 127.0.0.1:34998
STATE ?= .state

.DEFAULT_GOAL := help
.PHONY: help run test lint charts docs soak bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /: /'

$(VENV)/run: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/test: $(VENV)/run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

run: $(VENV)/run ## serve the examples on loopback (LISTEN=, ADMIN=, STATE= change where)
	$(BIN)/wasm-reconciler serve --config examples/layotto/config.json --specs examples/specs \
	  --stores examples/stores.yaml --module-root examples \
	  --listen $(LISTEN) --admin $(ADMIN) --state $(STATE)

lint: $(VENV)/test ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint ## all checks and all fast tests
	$(BIN)/python -m pytest -m 'not soak'

charts: $(VENV)/test ## write what the chart has from the models: the CRD, schemas, the table of values
	$(BIN)/python -m tests.charts.generate

docs: $(VENV)/test ## the documentation as a site, in build/site; a warning fails it
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

soak: $(VENV)/test ## the tests that take minutes
	$(BIN)/python -m pytest -m soak -n 0

bench: $(VENV)/test ## measure; prints tables
	$(BIN)/python -m benchmarks

clean: ## remove what the other targets made
	rm -rf $(VENV) $(STATE) build dist *.egg-info .mypy_cache .ruff_cache .import_linter_cache .hypothesis

-include examples/build.mk
-include examples/components/build.mk
