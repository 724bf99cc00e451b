.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp

# uv only writes the lock files. It has its own environment, so that a broken lock file can still be repaired.
UV_VERSION := 0.13.9
UV_ENV := .venv-lock
# --universal: one file for all platforms and for every Python from 3.11 on. The hashes cover all files of a
# version; the lock files contain no index URL. Pins that still fit are kept: LOCK_FLAGS=--upgrade updates them.
LOCK_FLAGS ?=
COMPILE = $(UV_ENV)/bin/uv pip compile --quiet --no-config --universal --python-version 3.11 \
	--generate-hashes --no-header --custom-compile-command 'make lock' $(LOCK_FLAGS)

# shiv only makes the single file; it has its own environment, as uv does.
SHIV_VERSION := 1.0.8
SHIV_ENV := .venv-shiv

# PYTEST_FLAGS= (empty) runs the tests in one process, for a debugger or for -k. Neighbouring tests share servers:
# worksteal gives each worker a stretch of them, and takes from the slowest when one has nothing left.
PYTEST_FLAGS ?= -n auto --dist worksteal
BENCH_FLAGS ?=
CLUSTER_FLAGS ?=
FUZZ_FLAGS ?=

.PHONY: help
help: # List the targets
	@sed -n 's/^\([a-z][a-z-]*\):[^#]*# \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS='	' read -r name text; do \
		printf '  make %-9s %s\n' "$$name" "$$text"; done

$(STAMP): requirements-dev.lock pyproject.toml scripts/bootstrap
	@scripts/bootstrap
	@touch $@

.PHONY: demo
demo: $(STAMP) # Run a demo: a server, two users, and files the server cannot read
	@$(BIN)/python scripts/demo.py

# CLUSTER_FLAGS=--stay runs it until Ctrl-C. It needs PostgreSQL, HAProxy and SeaweedFS: see scripts/cluster.py.
.PHONY: cluster
cluster: $(STAMP) # Run the demo on two nodes, PostgreSQL, an S3 store and HAProxy
	@$(BIN)/python scripts/cluster.py $(CLUSTER_FLAGS)

# Lint runs beside the tests, on the CPU time that they leave: many of them wait. The run of pytest shows its
# output before its own summary, which comes last (tests/conftest.py). Both run to the end whichever fails.
.PHONY: test
test: $(STAMP) # Run lint and all tests
	@log=$$(mktemp -d); trap 'rm -rf "$$log"' EXIT; trap 'exit 130' INT; trap 'exit 143' TERM; \
	{ nice $(MAKE) --no-print-directory lint >"$$log/lint" 2>&1; echo $$? >"$$log/new"; \
		mv "$$log/new" "$$log/status"; } 2>/dev/null & \
	tests=0; FS_LINT="$$log" $(MAKE) --no-print-directory unit || tests=$$?; \
	wait; [ -e "$$log/shown" ] || cat "$$log/lint" >&2; \
	[ "$$(cat "$$log/status")" = 0 ] && exit $$tests

.PHONY: lint
lint: $(STAMP) # Check style, formatting, types and import rules
	@failed=; \
	$(BIN)/ruff check --quiet . || failed="$$failed ruff-check"; \
	$(BIN)/ruff format --check . || failed="$$failed ruff-format"; \
	$(BIN)/mypy || failed="$$failed mypy"; \
	$(BIN)/lint-imports --no-logo || failed="$$failed lint-imports"; \
	$(BIN)/python scripts/check_words.py || failed="$$failed check-words"; \
	scripts/check_web_types || failed="$$failed web-types"; \
	[ -z "$$failed" ] || { echo "lint failed:$$failed" >&2; exit 1; }

# The inner loop: pure logic, no server and no database.
.PHONY: quick
quick: $(STAMP) # Run the fast tests only (less than a minute)
	@$(BIN)/python -m pytest $(PYTEST_FLAGS) tests/unit/fsproto tests/unit/fskit tests/unit/fsclient tests/unit/test_*.py tests/vectors

# Every race at full count, every test of the database on both kinds, a thousand examples a property, the models.
.PHONY: soak
soak: $(STAMP) # Run all tests at full count, on both databases (long)
	@FS_TESTS=soak $(BIN)/python -m pytest $(PYTEST_FLAGS)

# Needs spin and gcc; `make soak` runs them too.
.PHONY: models
models: # Search the models of docs/models for attacks (half a minute)
	@docs/models/run

.PHONY: unit
unit: $(STAMP) # Run all tests without lint
	@$(BIN)/python -m pytest $(PYTEST_FLAGS)

# BENCH_FLAGS=--quick takes less than a minute and measures less.
.PHONY: bench
bench: $(STAMP) # Compare speed with OpenSSH and rsync (BENCH_FLAGS=--quick: one minute)
	@$(BIN)/python -m bench.run $(BENCH_FLAGS)

# FUZZ_FLAGS='--minutes 600 TARGET…' fuzzes for longer, or single parsers.
.PHONY: fuzz
fuzz: $(STAMP) # Fuzz all parsers for ten minutes, and count (FUZZ_FLAGS)
	@$(BIN)/python -m tests.fuzz.campaign $(FUZZ_FLAGS)

.PHONY: vectors
vectors: $(STAMP) # Regenerate the test vectors
	@$(BIN)/python -m tests.vectors.generate

.PHONY: picture
picture: $(STAMP) # Draw docs/terminal.svg from a real session
	@$(BIN)/python scripts/terminal_svg.py

.PHONY: pictures
pictures: $(STAMP) # Take the pictures of the web page in docs/
	@$(BIN)/python -m scripts.page_pictures

.PHONY: lock
lock: $(UV_ENV)/bin/uv # Regenerate the lock files (LOCK_FLAGS=--upgrade: newer versions)
	@$(COMPILE) -o requirements.lock pyproject.toml
	@$(COMPILE) -o requirements-dev.lock --constraints requirements.lock \
		--extra uvloop --extra postgresql --extra s3 --group dev pyproject.toml

$(UV_ENV)/bin/uv: Makefile
	@python3 -m venv $(UV_ENV)
	@$(UV_ENV)/bin/python -m pip install -qq --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

.PHONY: dist
dist: $(STAMP) # Build the wheel and the sdist in dist/
	@$(BIN)/python scripts/package.py dist

.PHONY: zipapp
zipapp: $(STAMP) $(SHIV_ENV)/bin/shiv # Build fsclient as one file, dist/fsclient.pyz
	@SHIV=$(SHIV_ENV)/bin/shiv $(BIN)/python scripts/package.py zipapp

.PHONY: deb
deb: $(STAMP) # Build a Debian package with units, man pages and completion
	@$(BIN)/python scripts/package.py deb

# IMAGE_TOOL=podman or docker, with access to the base image.
IMAGE_TOOL ?= buildah
# Images in OCI's own format have no health check.
IMAGE_FLAGS ?= $(if $(filter docker,$(IMAGE_TOOL)),,--format docker)
.PHONY: image
image: deb # Build an OCI image of fsd from the Debian package
	@$(IMAGE_TOOL) build $(IMAGE_FLAGS) --tag fs-sealed --file packaging/Containerfile .

$(SHIV_ENV)/bin/shiv: Makefile
	@python3 -m venv $(SHIV_ENV)
	@$(SHIV_ENV)/bin/python -m pip install -qq --disable-pip-version-check shiv==$(SHIV_VERSION)
	@touch $@

.PHONY: clean
clean: # Remove all generated files
	@rm -rf $(VENV) $(UV_ENV) $(SHIV_ENV) .venv-weed web/node_modules build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
