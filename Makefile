# `make demo` and `make test` each set up everything they need; the rest is for those who work on the code.

VENV := .venv
BIN := $(VENV)/bin
# The generators and the demo start other programs of the environment by name.
RUN := PATH="$(CURDIR)/$(BIN):$$PATH"
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check install
LOCKED := --require-hashes --only-binary :all:
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url pyproject.toml
EXTENSION := pyproject.toml setup.py native/build.py $(wildcard native/include/*.h native/src/*.c native/src/*.h)

.PHONY: help demo test lint native bench bench-peers bench-record crash kills soak mutate proto reference lock clean

help:
	@echo "make demo     three nodes and an approval server on this machine: create a vault, sign, refuse"
	@echo "make test     the tests"
	@echo "make lint     style, types, layers, generated code"
	@echo "make native   C: warnings as errors, tests, sanitizers, constant time (valgrind)"
	@echo "make bench    figures, one JSON line each; make bench-peers: beside other libraries (Go, Rust)"
	@echo "make crash    every write and every message: power cuts, kill -9, disk faults, lost links (hours)"
	@echo "make kills    kill -9 of real daemons at every write and every message (hours more)"
	@echo "make soak     10,000 signatures on both curves while nodes are stopped and killed, and what is left of it all"
	@echo "make mutate   delete each protocol check, and each promise of durability, and see a test fail"
	@echo "make proto    regenerate the gRPC code; make reference: docs/reference; make lock: the lock files"
	@echo "make clean    forget the environment"

demo: $(VENV)/installed
	@$(RUN) quorate demo

test: $(VENV)/installed $(VENV)/development
	@$(RUN) python -m pytest

lint: $(VENV)/installed $(VENV)/development
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) lint-imports
	$(RUN) python scripts/generate_proto.py --check
	$(RUN) python scripts/generate_reference.py --check
	$(RUN) python -m pytest -n 0 tests/docs/test_repository.py

native: $(VENV)/installed $(VENV)/development
	$(RUN) $(MAKE) -C native all PYTHON="$(CURDIR)/$(BIN)/python"

bench: $(VENV)/installed $(VENV)/development
	@$(RUN) python -m benchmarks all

# Builds what this machine has the tools for, says what it skips and why, and prints the table.
bench-peers: $(VENV)/installed $(VENV)/development
	@mkdir -p build/peers
	@$(RUN) python -m benchmarks peers > build/peers/figures.jsonl
	@$(RUN) python -m benchmarks show build/peers/figures.jsonl

# Everything again, on a quiet machine: the figures that are kept, and the tables of benchmarks/README.md.
bench-record: bench-peers
	@$(RUN) python -m benchmarks all > build/peers/ours.jsonl
	@$(RUN) python -m benchmarks memory >> build/peers/ours.jsonl
	@mkdir -p benchmarks/results
	@cp build/peers/figures.jsonl benchmarks/results/peers.jsonl
	@cp build/peers/ours.jsonl benchmarks/results/ours.jsonl
	@$(RUN) python -m benchmarks table

crash: $(VENV)/installed $(VENV)/development
	$(RUN) python -m tests.crash.matrix all
	$(RUN) python -m pytest -m slow

kills: $(VENV)/installed $(VENV)/development
	$(RUN) python -m pytest -m kills

soak: $(VENV)/installed $(VENV)/development
	@$(RUN) python -m tests.soak

mutate: $(VENV)/installed $(VENV)/development
	$(RUN) python scripts/mutate_checks.py
	$(RUN) python scripts/mutate_durability.py

proto: $(VENV)/development
	$(RUN) python scripts/generate_proto.py

reference: $(VENV)/installed
	$(RUN) python scripts/generate_reference.py

lock:
	$(COMPILE) --group build --output-file requirements.lock
	$(COMPILE) --group build --extra aws --constraint requirements.lock --output-file requirements-aws.lock
	$(COMPILE) --group dev --constraint requirements-aws.lock --output-file requirements-dev.lock

clean:
	rm -rf $(VENV) build native/build src/*.egg-info src/quorate/native/*.so

# --- the environment -------------------------------------------------------------------------------------------

$(VENV)/made:
	@python=$$(scripts/find-python) && echo "Setting up $(VENV) with $$python" && "$$python" -m venv --clear $(VENV)
	@touch $@

$(VENV)/runtime: requirements.lock $(VENV)/made
	@echo "Installing the locked dependencies"
	@$(PIP) $(LOCKED) --requirement requirements.lock
	@touch $@

$(VENV)/development: requirements-dev.lock $(VENV)/runtime
	@echo "Installing the locked development tools"
	@$(PIP) $(LOCKED) --requirement requirements-dev.lock
	@touch $@

# The build tools are in the lock, so the build downloads nothing of its own.
$(VENV)/installed: $(EXTENSION) $(VENV)/runtime
	@echo "Building the C extension and installing Quorate"
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@
