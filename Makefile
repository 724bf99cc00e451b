.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp

# uv only writes the lock files; it lives apart so that a broken lock cannot keep it from being mended.
UV_VERSION := 0.13.9
UV_ENV := .venv-lock
# --universal: one file for every platform, and every Python from 3.11 on. Hashes cover all files of a
# version, and nothing says where they came from. Pins that still fit are kept: LOCK_FLAGS=--upgrade moves them.
LOCK_FLAGS ?=
COMPILE = $(UV_ENV)/bin/uv pip compile --quiet --no-config --universal --python-version 3.11 \
	--generate-hashes --no-header --custom-compile-command 'make lock' $(LOCK_FLAGS)

# PYTEST_FLAGS= (empty) runs the tests in one process, for a debugger or -k.
PYTEST_FLAGS ?= -n auto
BENCH_FLAGS ?=

.PHONY: help
help: # Show this list
	@sed -n 's/^\([a-z][a-z-]*\):[^#]*# \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS='	' read -r name text; do \
		printf '  make %-9s %s\n' "$$name" "$$text"; done

$(STAMP): requirements-dev.lock pyproject.toml scripts/bootstrap
	@scripts/bootstrap
	@touch $@

.PHONY: demo
demo: $(STAMP) # See it work: a server, two people, and files the server cannot read
	@$(BIN)/python scripts/demo.py

# Both halves run even if the first fails, so that one run tells everything; pytest has the last word.
.PHONY: test
test: $(STAMP) # Everything: lint, then the tests
	@lint=0; $(MAKE) --no-print-directory lint || lint=$$?; \
	[ $$lint -eq 0 ] || echo 'LINT FAILED (above); the tests run all the same.' >&2; \
	$(MAKE) --no-print-directory unit && exit $$lint

.PHONY: lint
lint: $(STAMP) # Style, formatting, types and the rules on who may import whom
	@failed=; \
	$(BIN)/ruff check --quiet . || failed="$$failed ruff-check"; \
	$(BIN)/ruff format --check . || failed="$$failed ruff-format"; \
	$(BIN)/mypy || failed="$$failed mypy"; \
	$(BIN)/lint-imports --no-logo || failed="$$failed lint-imports"; \
	[ -z "$$failed" ] || { echo "lint failed:$$failed" >&2; exit 1; }

.PHONY: unit
unit: $(STAMP) # The tests alone
	@$(BIN)/python -m pytest $(PYTEST_FLAGS)

# BENCH_FLAGS=--quick takes less than a minute, and tells less.
.PHONY: bench
bench: $(STAMP) # Measure beside OpenSSH and rsync (BENCH_FLAGS=--quick for a minute)
	@$(BIN)/python -m bench.run $(BENCH_FLAGS)

.PHONY: vectors
vectors: $(STAMP) # Write the test vectors again
	@$(BIN)/python -m tests.vectors.generate

.PHONY: lock
lock: $(UV_ENV)/bin/uv # Write the lock files again (LOCK_FLAGS=--upgrade for newer versions)
	@$(COMPILE) -o requirements.lock pyproject.toml
	@$(COMPILE) -o requirements-dev.lock --constraints requirements.lock \
		--extra uvloop --extra postgresql --group dev pyproject.toml

$(UV_ENV)/bin/uv: Makefile
	@python3 -m venv $(UV_ENV)
	@$(UV_ENV)/bin/python -m pip install -qq --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

.PHONY: clean
clean: # Remove everything made here
	@rm -rf $(VENV) $(UV_ENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
