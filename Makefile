# All targets run in .venv and create it first if necessary: on a new machine, `make demo` is enough.
# Variables: EXTRA=cpu|cuda (default: cuda if nvidia-smi works), WORKERS=test processes (2), COUNT=inputs per reader for
# `make fuzz` (20000).

PY := .venv/bin/python
ifndef EXTRA
EXTRA := $(shell if nvidia-smi >/dev/null 2>&1; then echo cuda; else echo cpu; fi)
endif
WORKERS ?= 2
COUNT ?= 20000
STAMP := .venv/installed-$(EXTRA)
PYTEST := $(PY) -m pytest -n $(WORKERS) --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all fuzz lint format docs lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-9s %s\n", $$1, $$2}'

install: $(STAMP)  ## create .venv with the pinned versions

demo: $(STAMP)  ## train on the built-in demo set for a few minutes
	@$(PY) train.py --preset demo

test: $(STAMP)  ## run the quick tests
	@$(PYTEST) -q

test-all: $(STAMP)  ## run the slow tests, which `make test` leaves out
	@$(PYTEST) -q -m slow

fuzz: $(STAMP)  ## run every file reader on thousands of damaged files
	@FUZZ_COUNT=$(COUNT) $(PY) -m pytest -v -m slow tests/fuzz/test_fuzz.py

lint: $(STAMP)  ## check style and the import table
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m pytest -q tests/test_import_table.py

format: $(STAMP)  ## format the code with ruff
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

docs: $(STAMP)  ## write docs/commands.md from the --help of every command
	@$(PY) docs/make_commands.py

lock: $(STAMP)  ## update requirements/*.txt (needs Python 3.11)
	@python3.11 requirements/lock.py

clean:  ## remove .venv, caches and build products; runs in checkpoints/ stay
	@rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A working environment is updated, unless it contains the other TensorFlow: tensorflow and tensorflow-cpu are two
# distributions of one module. The stamp is written last, so that an interrupted install is repeated.
$(STAMP): requirements/cpu.txt requirements/cuda.txt requirements/test.txt pyproject.toml setup.py requirements/venv.sh
	@sh requirements/venv.sh $(EXTRA)
	@touch $@
