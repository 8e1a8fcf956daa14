# Everything starts here; `make help` lists it. Needs Python 3.12 or later, make and git.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The uv on the PATH, or one that pip installs under .slipway; Debian's python3 has no pip, but a venv has.
OWN_UV := $(CURDIR)/.slipway/tools/bin/uv
UV := $(shell uv --version >/dev/null 2>&1 && command -v uv || echo $(OWN_UV))
RUN := .venv/bin
# A separate tree, since resolving again would overwrite uv.lock.
LOWEST := $(CURDIR)/.slipway/lowest
SOURCES := $(wildcard libs/*/src) $(wildcard services/*/src)
TESTS := $(wildcard libs/*/tests) $(wildcard services/*/tests) tests
MYPY_TESTS := --allow-untyped-defs --allow-incomplete-defs --allow-untyped-calls --allow-untyped-decorators
# Directories of deploy/ whose scripts import each other by their bare names.
SCRIPT_PATHS := deploy/kubernetes:deploy/load
# Settings of processes that are not services; the services' settings come from their declarations.
SETTINGS := slipway.settings:SlipwaySettings gateway.settings:GatewaySettings
# One more than the cores of a small CI machine, since many tests wait for servers and processes.
TEST_WORKERS ?= 3
PYTEST_ARGS ?=
# Environments of tools that must not be mixed with the product's; the group of pyproject.toml names them.
LOAD_TOOLS := .slipway/tools/load/.synced
PROFILE_TOOLS := .slipway/tools/profile/.synced
LOAD_ARGS = $(if $(CUSTOMERS),--customers $(CUSTOMERS)) $(if $(MINUTES),--minutes $(MINUTES))
PROCESS ?= orders
CHAOS_EVENTS ?= 20000
CHAOS_SECONDS ?= 150

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

$(OWN_UV):
	@echo "uv is missing: installing it into .slipway/tools"
	@python=python3; \
		if ! python3 -m pip --version >/dev/null 2>&1; then \
			python3 -m venv .slipway/tools/pip || \
				{ echo "Install uv, or the pip or the venv of python3, and try again." >&2; exit 1; }; \
			python=.slipway/tools/pip/bin/python; \
		fi; \
		$$python -m pip install --quiet --disable-pip-version-check --root-user-action ignore --target .slipway/tools uv

# If the Python of .python-version is missing, use another that pyproject.toml allows: uv would
# download the former from GitHub, which not every machine can reach.
.venv/.synced: uv.lock pyproject.toml .python-version $(wildcard libs/*/pyproject.toml) $(wildcard services/*/pyproject.toml) | $(filter $(OWN_UV),$(UV))
	@$(UV) python find --no-python-downloads >/dev/null 2>&1 || export UV_PYTHON='>=3.12'; \
		$(UV) sync --locked --all-packages --quiet
	@touch $@

.PHONY: install
install: .venv/.synced ## Create the virtual environment (every other target does it too)

.PHONY: up
up: .venv/.synced ## Start the whole system and watch it; Ctrl-C stops it
	@exec $(RUN)/slipway up

.PHONY: dev
dev: .venv/.synced ## Like up, and restart processes when their source changes
	@exec $(RUN)/slipway up --reload

.PHONY: demo
demo: .venv/.synced ## Place an order and show each hop until its push; confirm and ship it
	@exec $(RUN)/slipway demo

.PHONY: status
status: .venv/.synced ## Show the running processes and their health
	@exec $(RUN)/slipway status

.PHONY: bench
bench: .venv/.synced ## Measure against HAProxy, nginx, pgbench and others, or only ROWS="gateway push"; writes docs/performance.md
	@exec $(RUN)/python -m bench $(ROWS)

$(LOAD_TOOLS): .venv/.synced
	@UV_PROJECT_ENVIRONMENT=$(@D) $(UV) sync --locked --quiet --python $(RUN)/python --only-group load
	@touch $@

$(PROFILE_TOOLS): .venv/.synced
	@UV_PROJECT_ENVIRONMENT=$(@D) $(UV) sync --locked --quiet --python $(RUN)/python --all-packages --no-default-groups --group profile
	@touch $@

.PHONY: load
load: .venv/.synced $(LOAD_TOOLS) ## Measure latency under a mixed load: CUSTOMERS=20 MINUTES=1
	@$(RUN)/python -m bench.mixed load $(LOAD_ARGS)

.PHONY: soak
soak: .venv/.synced $(LOAD_TOOLS) ## Run the load for an hour, and check that no process keeps growing: MINUTES=60
	@$(RUN)/python -m bench.mixed soak $(LOAD_ARGS)

.PHONY: memory
memory: .venv/.synced $(LOAD_TOOLS) $(PROFILE_TOOLS) ## Profile the memory of a process under the load: PROCESS=orders MINUTES=1
	@$(RUN)/python -m bench.mixed memory --process $(PROCESS) $(LOAD_ARGS)

.PHONY: flame
flame: .venv/.synced $(LOAD_TOOLS) $(PROFILE_TOOLS) ## Draw a flame graph of a process's CPU time under the load: PROCESS=orders MINUTES=1
	@$(RUN)/python -m bench.mixed flame --process $(PROCESS) $(LOAD_ARGS)

.PHONY: test
test: .venv/.synced ## Run all tests against real PostgreSQL and Kafka
	@$(RUN)/pytest -n $(TEST_WORKERS) --dist loadgroup --cov --cov-report=term:skip-covered $(PYTEST_ARGS)

.PHONY: chaos
chaos: .venv/.synced ## Inject failures for minutes, then check every event and job
	@CHAOS_EVENTS=$(CHAOS_EVENTS) CHAOS_SECONDS=$(CHAOS_SECONDS) CHAOS_SEED=$(CHAOS_SEED) \
		$(RUN)/pytest -q -s libs/chassis/tests/chaos $(PYTEST_ARGS)

.PHONY: conformance
conformance: .venv/.synced ## Send thousands of generated requests through the gateway (minutes)
	@$(RUN)/pytest -q -s -p no:cacheprovider --timeout 1800 tests/e2e/gateway_conformance.py $(PYTEST_ARGS)

.PHONY: rolling-restart
rolling-restart: .venv/.synced ## Restart every service and the gateway under load; not one request may fail (minutes)
	@$(RUN)/pytest -q -s -p no:cacheprovider --timeout 900 tests/e2e/rolling_restart.py $(PYTEST_ARGS)

.PHONY: outside-check
outside-check: .venv/.synced | $(filter $(OWN_UV),$(UV)) ## Judge the gateway with the tools and clients of others: httplint, slowhttptest, curl, Java, Node, Go; and the benchmark's peers
	@UV=$(UV) $(RUN)/pytest -q -s -p no:cacheprovider --timeout 600 tests/e2e/outside_*.py libs/bench/tests/outside_*.py $(PYTEST_ARGS)

.PHONY: test-isolated
test-isolated: .venv/.synced ## Run each package's tests in an environment of its own
	@failed=; for directory in $(wildcard libs/* services/*); do \
		package=$${directory##*/}; \
		echo "== $$package"; \
		$(UV) run --isolated --locked --python $(RUN)/python --package $$package pytest -q -p no:cacheprovider $$directory/tests \
			|| failed+=" $$package"; \
	done; \
	[ -z "$$failed" ] || { echo "tests failed alone:$$failed" >&2; exit 1; }

.PHONY: test-lowest
test-lowest: $(filter $(OWN_UV),$(UV)) ## Run the packages' tests with the oldest versions of dependencies that they declare
	@rm -rf $(LOWEST)/tree && mkdir -p $(LOWEST)/tree
	@git ls-files -z --cached --others --exclude-standard | tar --create --null --files-from - --ignore-failed-read | tar --extract --directory $(LOWEST)/tree
	@rm $(LOWEST)/tree/uv.lock
	@cd $(LOWEST)/tree && export UV_PROJECT_ENVIRONMENT=$(LOWEST)/venv && \
		$(UV) sync --resolution lowest-direct --all-packages --quiet && \
		$(LOWEST)/venv/bin/pytest -n $(TEST_WORKERS) --dist loadgroup $(or $(PYTEST_ARGS),libs services)

.PHONY: check
check: .venv/.synced ## Lint, types, import rules, generated documents, migrations, the lock file
	$(UV) lock --check --quiet --python $(RUN)/python
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy $(SOURCES)
	MYPYPATH=$(SCRIPT_PATHS) $(RUN)/mypy deploy
	$(RUN)/mypy $(MYPY_TESTS) --no-error-summary $(TESTS)
	$(RUN)/lint-imports
	$(RUN)/python -m contracts.schemas --check $(if $(BASE),--against $(BASE))
	$(RUN)/python -m chassis.documents --check --settings $(SETTINGS)
	$(RUN)/python -m slipway.operate.topics_document helm/slipway/topics.json --check
	$(RUN)/python -m gateway.document services --check
	$(RUN)/python -m monitoring --check
	$(RUN)/python -m testkit.drift services
	$(RUN)/python deploy/kubernetes/schemas.py --check
	$(RUN)/python deploy/kubernetes/readmes.py --check

.PHONY: check-all
check-all: check charts-check migrations-check workflows-check alerts-check collector-check asyncapi-check openapi-check clients-check graphql-check pooler-check outside-check ## All of check, and the checks that need Go (to build a missing Helm), npm or Debian's packages

.PHONY: asyncapi-check
asyncapi-check: .venv/.synced ## Validate docs/asyncapi.json with AsyncAPI's parser (Node from a wheel if it is missing)
	@UV=$(UV) deploy/asyncapi/check.sh docs/asyncapi.json

.PHONY: openapi-check
openapi-check: .venv/.synced ## Lint the merged OpenAPI document with Spectral and Redocly
	@UV=$(UV) deploy/openapi/check.sh services/gateway/openapi.json

.PHONY: clients-check
clients-check: .venv/.synced | $(filter $(OWN_UV),$(UV)) ## Generate clients from the OpenAPI document, in Python and TypeScript, and check that they are complete
	@UV=$(UV) deploy/clients/check.sh services/gateway/openapi.json

.PHONY: graphql-check
graphql-check: .venv/.synced | $(filter $(OWN_UV),$(UV)) ## Audit /graphql with the suite of graphql-http (npm)
	@UV=$(UV) deploy/graphql/check.sh

.PHONY: pooler-check
pooler-check: .venv/.synced ## Test behind Debian's PgBouncer, which root installs if it is missing
	@PATH="$$PATH:/usr/sbin"; command -v pgbouncer >/dev/null \
		|| { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends pgbouncer; } >/dev/null \
		|| { echo "pgbouncer is missing: sudo apt-get install pgbouncer" >&2; exit 1; }
	@$(RUN)/pytest -q -p no:cacheprovider libs/chassis/tests/messaging/test_pooler.py

.PHONY: alerts-check
alerts-check: ## Check the Prometheus rules, and test that each alert fires when it should and only then
	@command -v promtool >/dev/null \
		|| { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus; } >/dev/null \
		|| { echo "promtool is missing: sudo apt-get install prometheus" >&2; exit 1; }
	@promtool check rules deploy/prometheus/rules/*.yaml >/dev/null
	@promtool test rules deploy/prometheus/tests/*.yaml

.PHONY: collector-check
collector-check: .venv/.synced ## Run the OpenTelemetry Collector's configuration: which traces are kept (Go builds a missing collector)
	@deploy/opentelemetry/check.sh

.PHONY: observe
observe: .venv/.synced ## Watch the system with Debian's Prometheus under load: every dashboard has data, no alert fires
	@$(RUN)/python -m monitoring.observe

.PHONY: observe-faults
observe-faults: .venv/.synced ## Break servers and processes, or only FAULTS="mail killed-worker"; the right alerts must fire and end (many minutes)
	@FAULTS="$(FAULTS)" $(RUN)/pytest -q -s -p no:cacheprovider --timeout 1200 tests/e2e/observed_faults.py $(PYTEST_ARGS)

.PHONY: restore-check
restore-check: .venv/.synced ## Restore a backup of orders in a whole system, and reconcile it by the runbook (minutes)
	@$(RUN)/pytest -q -s -p no:cacheprovider --timeout 1500 tests/backup/restored_system.py $(PYTEST_ARGS)

.PHONY: browser-check
browser-check: .venv/.synced ## Run the browser example, the GraphQL page and passkeys in Chromium, which must be installed
	@command -v chromium >/dev/null || { echo "chromium is missing: sudo apt-get install chromium" >&2; exit 1; }
	@$(RUN)/pytest -q -p no:cacheprovider services/gateway/tests/browser_graphql.py services/users/tests/browser_passkeys.py tests/e2e/browser_example.py

.PHONY: migrations-check
migrations-check: .venv/.synced | $(filter $(OWN_UV),$(UV)) ## Check the SQL of new migrations with squawk
	@UV=$(UV) deploy/migrations/check.sh

# BASE is a commit or a tag; by default the newest tag before HEAD.
.PHONY: previous-check
previous-check: .venv/.synced | $(filter $(OWN_UV),$(UV)) ## Run the earlier release's tests on the schema of this tree (minutes; BASE=COMMIT)
	@UV=$(UV) deploy/migrations/previous.sh $(BASE)

.PHONY: image-check
image-check: .venv/.synced ## Build the image of orders twice, compare the files, measure it, run and stop it (needs Docker)
	@$(RUN)/python deploy/image/check.py orders

.PHONY: workflows-check
workflows-check: | $(filter $(OWN_UV),$(UV)) ## Audit the workflows with zizmor and actionlint
	@UV=$(UV) .github/scripts/check.sh

.PHONY: audit
audit: .venv/.synced | $(filter $(OWN_UV),$(UV)) ## Look for known flaws in the locked dependencies (needs PyPI itself)
	@requirements=$$(mktemp); trap 'rm -f "$$requirements"' EXIT; \
		$(UV) export --quiet --frozen --no-emit-workspace --format requirements-txt > "$$requirements"; \
		$(UV) tool run --quiet --from pip-audit==2.10.1 pip-audit --strict --disable-pip --require-hashes --requirement "$$requirements"

.PHONY: kind
kind: ## Create a cluster on this machine with kind (needs Docker; Go builds a missing kind)
	@deploy/kind/create.sh

.PHONY: charts
charts: charts-check

.PHONY: charts-check
charts-check: .venv/.synced | $(filter $(OWN_UV),$(UV)) ## Lint, render and validate the Helm charts
	@UV=$(UV) deploy/kubernetes/check-charts.sh

.PHONY: k8s-test
k8s-test: .venv/.synced ## Install, upgrade and roll back the charts on the cluster of the current context (needs Docker, kubectl)
	@deploy/kubernetes/test.sh

.PHONY: format
format: .venv/.synced ## Format, and fix what can be fixed
	@$(RUN)/ruff check --fix-only --quiet . && $(RUN)/ruff format --quiet .

.PHONY: documents
documents: .venv/.synced ## Regenerate the generated documents
	@$(RUN)/python -m contracts.schemas
	@$(RUN)/python -m chassis.documents --settings $(SETTINGS)
	@$(RUN)/python -m slipway.operate.topics_document helm/slipway/topics.json
	@$(RUN)/python -m gateway.document services
	@$(RUN)/python -m monitoring
	@deploy/kubernetes/documents.sh

.PHONY: service
service: .venv/.synced ## Add a service with its schema, API, events, charts and tests: NAME=reviews (NOUN=review)
	@$(RUN)/python -m scaffold $(NAME) $(if $(NOUN),--noun $(NOUN))
	@$(UV) lock --quiet || { echo "The service is written, but not locked: no target works until \`$(UV) lock\` succeeds. Run it, then make format documents." >&2; exit 1; }
	@$(MAKE) --no-print-directory format documents

.PHONY: clean
clean: ## Remove the virtual environment and caches; the data in .slipway stays
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage*
