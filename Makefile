# Everything starts here: `make help`.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CORE := $(VENV)/.core
BENCH := .bench/release
RUST := Cargo.toml Cargo.lock pyproject.toml $(shell find crates -name '*.rs' -o -name 'Cargo.toml' 2>/dev/null)
export PYTHONDONTWRITEBYTECODE :=
export CARGO_TERM_PROGRESS_WHEN := never

.PHONY: help demo test test-python test-rust asan lint format bench audit golden lock clean prerequisites build \
	simulate mutate kills faults canaries load
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

prerequisites:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "missing: Python 3.11 or newer ($(PYTHON)); set PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "missing: Python's venv module (Debian: python3-venv)"; exit 1; }
	@command -v cargo >/dev/null || { echo "missing: a Rust toolchain (cargo), 1.89 or newer"; exit 1; }
	@command -v cc >/dev/null || { echo "missing: a C compiler (cc)"; exit 1; }

$(STAMP): requirements/dev.txt | prerequisites
	@echo "== installing the locked Python packages into $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

$(CORE): $(STAMP) $(RUST)
	@echo "== building the Rust core (a few minutes the first time)"
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--no-build-isolation --config-settings=build-args="--profile dev --locked" --editable .
	@touch $@

build: $(CORE) ## make .venv and build the Rust core into it

demo: build ## three banks, one service, two machines: the three example programs
	@$(BIN)/python -m xor.testing.demo $(if $(ROWS),--rows $(ROWS))

test: build test-rust test-python ## all tests

test-rust:
	cargo test --workspace --quiet

test-python: build
	$(BIN)/pytest -n 2 --dist worksteal

# Only an unstable flag asks for the sanitizer; the released toolchains bring its runtime.
asan: ## the tests of all unsafe kernels under AddressSanitizer
	ASAN_OPTIONS=allocator_may_return_null=1 RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address \
		cargo test -p xor-base -p xor-correlation --lib --quiet \
		--target $(shell rustc -vV | sed -n 's/^host: //p') --target-dir target/asan

lint: build ## formats, types, layers, lints
	$(BIN)/ruff format --check python tests benchmarks tools
	$(BIN)/ruff check python tests benchmarks tools
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings

format: build ## rewrite the formatting
	$(BIN)/ruff check --fix-only --quiet python tests benchmarks tools
	$(BIN)/ruff format python tests benchmarks tools
	cargo fmt --all

bench: $(STAMP) ## measure the private join in a release build, beside polars and SPU
	@echo "== building the Rust core for speed, beside the one that tests use (a few minutes the first time)"
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--no-build-isolation --config-settings=build-args="--profile release --locked" --upgrade --target $(BENCH) .
	@PYTHONPATH=$(abspath $(BENCH)) $(BIN)/python -m benchmarks.join --peer spu $(if $(ROWS),--rows $(ROWS)) $(ARGS)

# The campaigns of docs/reliability.md; ARGS="--help" names what else they take.
simulate: build ## whole networks under one seed each: SEEDS=500, or SEED=7 to replay one with all it did
	@$(BIN)/python -m xor.testing.simulation $(if $(SEED),--seed $(SEED) --trace,--seeds $(or $(SEEDS),500)) $(ARGS)

mutate: build ## break one check or journal write after the other; the simulation must notice
	@$(BIN)/python tools/mutate --write $(ARGS)

kills: build ## kill processes at random moments of jobs, at every step
	@$(BIN)/python -m xor.testing.kills $(ARGS)

faults: build ## slow, half-open and flapping lines, a bad cable, full disks
	@$(BIN)/python -m xor.testing.faults $(ARGS)
	@unshare $(if $(filter 0,$(shell id -u)),-n,-Urn) $(BIN)/python -m xor.testing.namespaces
	@unshare $(if $(filter 0,$(shell id -u)),-m,-Urm) $(BIN)/python -m xor.testing.full

canaries: build ## plant values and search for them everywhere
	@$(BIN)/python -m xor.testing.canaries $(ARGS)

load: build ## 200 machines and 50 jobs at once at one service, for MINUTES=30
	@$(BIN)/python -m xor.testing.load --minutes $(or $(MINUTES),30) $(ARGS)

audit: build ## licences, sources and known vulnerabilities, where their data can be had
	tools/audit

golden: build ## rewrite the golden files; read the diff before you commit it
	XOR_REWRITE_GOLDEN=1 $(BIN)/pytest tests/golden

lock: $(STAMP) ## lock the newest allowed versions of all packages
	tools/lock

clean: ## remove what was built
	rm -rf $(VENV) target .demo .bench
