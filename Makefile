# Relative paths only, so that a checkout may lie in a folder with spaces in its name.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# Bytecode that is not kept makes every process of the stack start twice as slowly.
unexport PYTHONDONTWRITEBYTECODE

# SHOP= and DATA= on the command line; left alone, the environment and infra/.env decide.
ifdef SHOP
export REFIT_SHOP := $(SHOP)
endif
ifdef DATA
export REFIT_DATA := $(DATA)
endif
ifdef APPROVE
export APPROVE
endif
ifdef FROM
export FROM
endif

PYTHON := .venv/bin/python
UV := .venv/bin/uv
LOCKS := infra/requirements
STAMP := .venv/.installed

##@ Run

.PHONY: run
run: $(STAMP) ## The whole loop on one shop, from raw files to published lists (SHOP=, DATA=, APPROVE=)
	@$(BRING_PACKAGES)
	@$(PYTHON) -m infra.demo.run

.PHONY: shop
shop: $(STAMP) ## A first shops/NAME for data that nobody has described yet, with questions (NAME=, FROM=folder or table, ZONE=)
	@$(BRING_PACKAGES)
	@$(PYTHON) -m infra.demo.draft "$(NAME)" "$(FROM)" "$(ZONE)"

.PHONY: up
up: $(STAMP) ## Start Airflow, MLflow and S3 for one shop and wait until they are healthy (SHOP=)
	@$(BRING_PACKAGES)
	@$(PYTHON) -m infra.stack.control up

.PHONY: down
down: $(STAMP) ## End the stack of SHOP, or of every shop; what it keeps stays in .refit
	@$(PYTHON) -m infra.stack.control down

.PHONY: status
status: $(STAMP) ## Say which processes run, where they listen and where they log (SHOP=)
	@$(PYTHON) -m infra.stack.control status

.PHONY: env
env: $(STAMP) ## Print the settings of the running stack, for eval "$(make -s env)" (SHOP=)
	@$(PYTHON) -m infra.stack.control env

.PHONY: step
step: $(STAMP) ## Run one step against the running stack: make step NAME=check_drift ARGS="as_of=2011-11-01"
	@test -n "$(NAME)" || { echo 'make step needs NAME=, the name of a step in pipelines/' >&2; exit 1; }
	@settings="$$($(PYTHON) -m infra.stack.control env)" && eval "$$settings" && \
	exec $(PYTHON) -m pipelines $(NAME) $(ARGS)

##@ Check

.PHONY: lint
lint: $(STAMP) ## Format, style, types and import rules; changes nothing
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m mypy
	@PYTHONPATH=src:. .venv/bin/lint-imports

.PHONY: hooks
hooks: $(STAMP) ## Let git look at format and style before each commit of this checkout
	@git config core.hooksPath infra/hooks

.PHONY: format
format: $(STAMP) ## Rewrite the code as lint wants it
	@$(PYTHON) -m ruff check --fix-only .
	@$(PYTHON) -m ruff format .

.PHONY: test
test: $(STAMP) ## Every test but the long ones, and the branches of src/refit that they cover; those marked e2e share a stack
	@$(BRING_PACKAGES)
	@$(PYTHON) -m pytest -m "not long and not release" -n 3 --dist loadfile --no-loadscope-reorder --cov --cov-report=term

.PHONY: test-long
test-long: $(STAMP) ## Backfills; every step killed, disks full, servers gone: before a release, it takes long
	@$(BRING_PACKAGES)
	@$(PYTHON) -m pytest -m long

.PHONY: test-fast
test-fast: $(STAMP) ## Every test that starts no stack
	@$(BRING_PACKAGES)
	@$(PYTHON) -m pytest -m "not e2e and not long and not release" -n 2 --dist loadfile

.PHONY: release
release: $(STAMP) ## Build wheel and sdist into dist/, and read live lists with the wheel in an empty environment
	@$(PYTHON) -m pytest -q -m release
	@rm -rf dist build && $(PYTHON) -m build --outdir dist .

.PHONY: docs
docs: $(STAMP) ## The pages of docs/ and the reference of docstrings as a site in site/; a broken link ends it
	@.venv/bin/zensical build --clean --strict

.PHONY: audit
audit: $(STAMP) ## Compare installed files with their hashes, write build/sbom.json, ask for known weaknesses (SERVICE=osv)
	@$(PYTHON) -m infra.supply_chain $(if $(SERVICE),--service $(SERVICE))

.PHONY: simulate
simulate: $(STAMP) ## Publish under 200,000 schedules of faults, in minutes; every one can be played again by its number
	@PYTHONPATH=src:. $(PYTHON) -m bench.schedules

.PHONY: bench
bench: $(STAMP) ## Measure how long the steps take on data of several sizes
	@$(BRING_PACKAGES)
	@$(PYTHON) -m bench

##@ Prepare

.PHONY: packages
packages: ## Java, PostgreSQL and its JDBC driver where they are missing; the other targets bring what they need
	@$(BRING_PACKAGES)

.PHONY: install
install: $(STAMP) ## Make .venv from the lock file; the other targets do this when it is needed

.PHONY: lock
lock: $(STAMP) ## Resolve the requirements again and write the lock files
	@cd $(LOCKS) && uv="../../$(UV)" && \
	"$$uv" pip compile -q --universal --python-version 3.11 --generate-hashes --no-header \
	  bootstrap.in -o bootstrap.txt && \
	"$$uv" pip compile -q --universal --python-version 3.11 --generate-hashes --no-header \
	  --override overrides.txt dev.in -o lock.txt

.PHONY: clean
clean: ## Remove caches and build files; .venv and .refit stay
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build
	@rm -rf spark-warehouse metastore_db derby.log dist site
	@find . -path ./.venv -prune -o -path ./.refit -prune -o -name __pycache__ -type d -print0 | xargs -0r rm -rf

.PHONY: help
help: ## This list
	@awk 'BEGIN { FS = ":.*##"; print "usage: make TARGET [SHOP=name] [DATA=folder]" } \
	  /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*##/ { printf "  %-10s%s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# Prints the first interpreter that is new enough.
define FIND_PYTHON
for python in .venv/bin/python python3 python3.11 python3.12 python3.13; do \
  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo "$$python"; exit; fi; \
done; \
echo 'Refit needs Python 3.11 or newer and found none; install one (Debian, Ubuntu: apt install python3-venv)' >&2; exit 1
endef

# Java and PostgreSQL, as far as the targets of this command line need them.
define BRING_PACKAGES
python="$$($(FIND_PYTHON))" && PYTHONPATH=src:. "$$python" -m infra.host.packages $(MAKECMDGOALS)
endef

$(STAMP): $(LOCKS)/bootstrap.txt $(LOCKS)/lock.txt
	@$(BRING_PACKAGES)
	@echo 'installing the locked packages into .venv (a minute or two, 2.4 GB)'
	@# A venv that was killed while it was made, or made where pip is missing, has an interpreter and no pip.
	@if ! test -x $(UV) && ! $(PYTHON) -c 'import pip' 2>/dev/null; then python="$$($(FIND_PYTHON))" && "$$python" -m venv --clear .venv; fi
	@if ! test -x $(UV); then $(PYTHON) -m pip install -q --require-hashes -r $(LOCKS)/bootstrap.txt; fi
	@$(UV) pip sync -q --python $(PYTHON) --require-hashes --compile-bytecode $(LOCKS)/lock.txt
	@# A venv of Python 3.11 brings an old setuptools that nothing here needs and no lock names.
	@$(UV) pip uninstall -q --python $(PYTHON) setuptools
	@site="$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" && \
	printf '%s\n' "$$PWD" "$$PWD/src" > "$$site/refit.pth"
	@$(PYTHON) -m infra.host.class_archive
	@touch $@
