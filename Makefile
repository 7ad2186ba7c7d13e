# Needs Python >= 3.11 and make, nothing else. `make` alone lists what there is.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PATIENTS ?= 4000
WORKERS ?= 2
PINS := --generate-hashes --universal --fork-strategy fewest --python-version 3.11 \
	--no-emit-index-url --no-emit-find-links --no-annotate --no-header

.PHONY: help demo test quick check format bench docs pins clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

# Set-up is done once, and again when the pinned versions or the project's description change.
$(READY): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "livingdrug needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V). Try: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Setting up .venv (once) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r constraints.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

demo: $(READY) ## simulate the ELIANA trial with the twin and say where its report lies
	@$(BIN)/livingdrug trial eliana --patients $(PATIENTS)

test: $(READY) ## the whole test suite; says what was skipped and why
	@$(BIN)/python -m pytest -n $(WORKERS) -q

quick: $(READY) ## the tests that take less than a minute together
	@$(BIN)/python -m pytest -n $(WORKERS) -q -m "not slow"

check: $(READY) ## lint, format, types, import contract
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(READY) ## let ruff mend what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Unlike the package, the bench needs a C++ and a Fortran compiler and CMake: see benchmarks/README.md.
bench: ## our engine against its peers, in one run on this machine
	@PYTHON=$(PYTHON) bash benchmarks/setup.sh
	@PATH="$(CURDIR)/.bench-venv/bin:$$PATH" .bench-venv/bin/python -m benchmarks.run
	@.bench-venv/bin/python -m benchmarks.fitting
	@.bench-venv/bin/python -m benchmarks.bayes
	@.bench-venv/bin/python -m benchmarks.ward

docs: $(READY) ## write the generated pages of docs/
	@$(BIN)/python scripts/validation_page.py
	@$(BIN)/python scripts/model_pages.py
	@$(BIN)/python scripts/body_page.py
	@$(BIN)/python scripts/population_pages.py
	@$(BIN)/python scripts/fit_tutorial_tables.py

pins: ## resolve the pinned versions anew into constraints.txt
	@$(PYTHON) -m venv .pins-venv && .pins-venv/bin/python -m pip install --quiet uv
	@echo "setuptools>=77" | .pins-venv/bin/uv pip compile pyproject.toml - --extra dev --upgrade --quiet \
		$(PINS) -o constraints.txt
	@echo "setuptools>=77" | .pins-venv/bin/uv pip compile pyproject.toml benchmarks/peers.in - --upgrade --quiet \
		$(PINS) -c constraints.txt -o benchmarks/peers.txt

clean: ## remove environments and caches
	rm -rf .venv .bench-venv .pins-venv .pytest_cache .ruff_cache .hypothesis .import_linter_cache build
