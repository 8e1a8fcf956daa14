# Everything starts here; `make help` lists it. Needs Python 3.12 or later, make and git.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# A uv that works: one on the PATH, or one of our own, put under .slipway by pip.
OWN_UV := $(CURDIR)/.slipway/tools/bin/uv
UV := $(shell uv --version >/dev/null 2>&1 && command -v uv || echo $(OWN_UV))
RUN := .venv/bin
# A tree of its own, since resolving anew would write uv.lock.
LOWEST := $(CURDIR)/.slipway/lowest
SERVICES := users orders notifications
SOURCES := $(wildcard libs/*/src) $(wildcard services/*/src)
TESTS := $(wildcard libs/*/tests) $(wildcard services/*/tests) tests
MYPY_TESTS := --allow-untyped-defs --allow-incomplete-defs --allow-untyped-calls --allow-untyped-decorators
SETTINGS := slipway.settings:SlipwaySettings gateway.settings:GatewaySettings users.settings:UsersSettings \
	orders.settings:OrdersSettings notifications.settings:NotificationsSettings
# Two workers: the servers beside them want a core as well.
TEST_WORKERS ?= 2
PYTEST_ARGS ?=
CHAOS_EVENTS ?= 20000
CHAOS_SECONDS ?= 150

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

$(OWN_UV):
	@echo "uv is missing: installing it into .slipway/tools"
	@python3 -m pip install --quiet --disable-pip-version-check --target .slipway/tools uv

.venv/.synced: uv.lock pyproject.toml .python-version $(wildcard libs/*/pyproject.toml) $(wildcard services/*/pyproject.toml) | $(filter $(OWN_UV),$(UV))
	@$(UV) sync --locked --all-packages --quiet
	@touch $@

.PHONY: install
install: .venv/.synced ## Make the virtual environment (every other target does it too)

.PHONY: up
up: .venv/.synced ## Start the whole system and watch it; Ctrl-C stops it
	@exec $(RUN)/slipway up

.PHONY: dev
dev: .venv/.synced ## The same, and a change of source restarts the processes that run it
	@exec $(RUN)/slipway up --reload

.PHONY: demo
demo: .venv/.synced ## Place an order and follow it to its push, hop by hop
	@exec $(RUN)/slipway demo

.PHONY: status
status: .venv/.synced ## Show what runs, and how it is
	@exec $(RUN)/slipway status

.PHONY: bench
bench: .venv/.synced ## Measure against HAProxy, pgbench and others; writes docs/performance.md
	@exec $(RUN)/slipway bench $(ROWS)

.PHONY: test
test: .venv/.synced ## Run all tests against real PostgreSQL and Kafka
	@$(RUN)/pytest -n $(TEST_WORKERS) --dist loadgroup --cov --cov-report=term:skip-covered $(PYTEST_ARGS)

.PHONY: chaos
chaos: .venv/.synced ## Break everything for minutes, and check what became of each event
	@CHAOS_EVENTS=$(CHAOS_EVENTS) CHAOS_SECONDS=$(CHAOS_SECONDS) CHAOS_SEED=$(CHAOS_SEED) \
		$(RUN)/pytest -q -s libs/chassis/tests/chaos $(PYTEST_ARGS)

.PHONY: test-isolated
test-isolated: .venv/.synced ## Run each package's tests in an environment of its own
	@failed=; for directory in $(wildcard libs/* services/*); do \
		package=$${directory##*/}; \
		echo "== $$package"; \
		$(UV) run --isolated --locked --package $$package pytest -q -p no:cacheprovider $$directory/tests \
			|| failed+=" $$package"; \
	done; \
	[ -z "$$failed" ] || { echo "tests failed alone:$$failed" >&2; exit 1; }

.PHONY: test-lowest
test-lowest: $(filter $(OWN_UV),$(UV)) ## Run the packages' tests on the oldest versions that they say they can do with
	@rm -rf $(LOWEST)/tree && mkdir -p $(LOWEST)/tree
	@cp -R libs services pyproject.toml .python-version $(LOWEST)/tree
	@cd $(LOWEST)/tree && export UV_PROJECT_ENVIRONMENT=$(LOWEST)/venv && \
		$(UV) sync --resolution lowest-direct --all-packages --quiet && \
		$(LOWEST)/venv/bin/pytest -n $(TEST_WORKERS) --dist loadgroup $(or $(PYTEST_ARGS),libs services)

.PHONY: check
check: .venv/.synced ## Lint, types, import rules, generated documents, migrations, the lock file
	$(UV) lock --check --quiet
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy $(SOURCES)
	$(RUN)/mypy $(MYPY_TESTS) --no-error-summary $(TESTS)
	$(RUN)/lint-imports
	$(RUN)/python -m contracts.schemas --check $(if $(BASE),--against $(BASE))
	$(RUN)/python -m chassis.messaging.asyncapi libs/contracts services docs --check
	$(RUN)/python -m slipway.topics_document helm/slipway/topics.json --check
	@for service in $(SERVICES); do $(RUN)/python -m chassis.http.document services/$$service --check; done
	$(RUN)/python -m gateway.document services --check
	$(RUN)/python -m chassis.settings_document .env.example $(SETTINGS) --check
	$(RUN)/python -m chassis.testing.drift $(addprefix services/,$(SERVICES))

.PHONY: check-all
check-all: check charts-check asyncapi-check pooler-check ## All of check, and what needs Go (Helm is built where it is missing), npm or Debian's packages

.PHONY: asyncapi-check
asyncapi-check: .venv/.synced ## Have AsyncAPI's own parser read docs/asyncapi.json (Node from a wheel where it is missing)
	@UV=$(UV) deploy/asyncapi/check.sh docs/asyncapi.json

.PHONY: pooler-check
pooler-check: .venv/.synced ## Test behind Debian's PgBouncer, which root installs where it is missing
	@PATH="$$PATH:/usr/sbin"; command -v pgbouncer >/dev/null \
		|| { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends pgbouncer; } >/dev/null \
		|| { echo "pgbouncer is missing: sudo apt-get install pgbouncer" >&2; exit 1; }
	@$(RUN)/pytest -q -p no:cacheprovider libs/chassis/tests/messaging/test_pooler.py

.PHONY: charts-check
charts-check: .venv/.synced | $(filter $(OWN_UV),$(UV)) ## Lint, render and validate the Helm charts
	@UV=$(UV) deploy/kubernetes/check-charts.sh

.PHONY: k8s-test
k8s-test: ## Install, upgrade and roll back the charts on the cluster of the current context (needs Docker, kubectl)
	@deploy/kubernetes/test.sh

.PHONY: format
format: .venv/.synced ## Format, and fix what can be fixed
	@$(RUN)/ruff check --fix-only --quiet . && $(RUN)/ruff format --quiet .

.PHONY: documents
documents: .venv/.synced ## Write the generated documents anew
	@$(RUN)/python -m contracts.schemas
	@$(RUN)/python -m chassis.messaging.asyncapi libs/contracts services docs
	@$(RUN)/python -m slipway.topics_document helm/slipway/topics.json
	@for service in $(SERVICES); do $(RUN)/python -m chassis.http.document services/$$service; done
	@$(RUN)/python -m gateway.document services
	@$(RUN)/python -m chassis.settings_document .env.example $(SETTINGS)

.PHONY: clean
clean: ## Remove the virtual environment and caches; the data in .slipway stays
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage*
