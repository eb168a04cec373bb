# Every target makes what it needs: an environment in .venv, the Rust core in target. Only what changed is rebuilt.
PYTHON ?= python3
BIN := .venv/bin
EXTRAS := dev,report,data,aslib
# of the property tests in Rust; another one looks at other cases: make test-rust SEED=3
SEED ?= 1
RUST := $(shell find rust -name '*.rs' -o -name Cargo.toml 2>/dev/null) Cargo.toml Cargo.lock
# an activated environment elsewhere must not receive the build
export VIRTUAL_ENV := $(CURDIR)/.venv

.PHONY: help build demo knowledge test test-rust test-python lint check bench wheel docs clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 14

$(BIN)/maturin:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'maturin>=1.10,<2'

.venv/.installed: pyproject.toml | $(BIN)/maturin
	$(BIN)/maturin develop --release --extras $(EXTRAS)
	@touch $@ .venv/.built

.venv/.built: $(RUST) .venv/.installed
	$(BIN)/maturin develop --release --skip-install
	@touch $@

build: .venv/.built ## environment and extension module

demo: build ## default strategies on real tables: study, learners, evaluation, plots, a recommendation
	$(BIN)/metafit demo

knowledge: build ## measure what ships: default strategies on all real tables, resumed where it stopped
	$(BIN)/python -m metafit.knowledge.build runs/knowledge

test: test-rust test-python ## all tests and doc examples

test-rust:
	PROPTEST_RNG_SEED=$(SEED) cargo test --release --package metafit-core

test-python: build
	$(BIN)/python -m pytest

lint: build ## formatting, lints, types, layers, stubs
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets -- -D warnings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m mypy.stubtest metafit._core

check: lint test ## what CI runs

.venv/.bench: pyproject.toml .venv/.built
	$(BIN)/maturin develop --release --extras bench
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'adelie>=1.1.52'
	@touch $@ .venv/.built

bench: .venv/.bench ## speed beside peers: workloads in one table, scaling, every pair of loss and penalty
	$(BIN)/python benches/run.py $(if $(QUICK),--quick)
	$(BIN)/python benches/scaling.py $(if $(QUICK),--quick)
	$(BIN)/python benches/every_pair.py $(if $(QUICK),--quick)

wheel: build ## a wheel in dist/, tried in an empty environment
	$(BIN)/maturin build --release --out dist
	$(PYTHON) -m venv --clear .venv/wheel
	.venv/wheel/bin/python -m pip install --quiet --disable-pip-version-check "$$(ls -t $(CURDIR)/dist/metafit-*.whl | head -1)[data,report]"
	cd .venv/wheel && bin/python -m doctest -o NORMALIZE_WHITESPACE ../../README.md

docs: build ## HTML documentation in docs/_build
	$(BIN)/maturin develop --release --extras docs
	$(BIN)/python -m sphinx -W -b html docs docs/_build

clean: ## remove everything that the targets made
	rm -rf .venv target dist docs/_build runs
