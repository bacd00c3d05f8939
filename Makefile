# `make demo` and `make test` are all a fresh machine needs: Python >= 3.11 and make.
PYTHON ?= python3
BIN := .venv/bin
PORT ?= 8787
WORKERS ?= 2

.PHONY: help install lock demo serve test check format openapi clean
help:  ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: .venv/installed  ## Create .venv with everything pinned by requirements.lock

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Atomic needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

lock:  ## Pin the newest versions anew (needs uv)
	uv pip compile pyproject.toml --extra server --extra aws --group dev --universal --generate-hashes --no-header \
	  --python-version 3.11 --upgrade --quiet -o requirements.lock

demo: install  ## Run the user-creation workflow and show every call
	@$(BIN)/python examples/user_creation/demo.py

serve: install  ## Run the embedded server for development
	$(BIN)/atomic serve --dev --port $(PORT)

test: install  ## Run every test (rooms, lint and types among them)
	$(BIN)/pytest -n $(WORKERS) --dist worksteal

check: install  ## Format, lint, types, rooms: the quick look before a commit
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install  ## Format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

openapi: install  ## Write docs/openapi.json anew
	$(BIN)/python -m atomic.entrypoints.http_api.openapi > docs/openapi.json

clean:  ## Remove what the targets made
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist
