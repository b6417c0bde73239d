# All targets run in .venv and create it first if necessary: on a new machine, `make demo` is enough. Only targets that
# need the test tools install them.
# Variables: EXTRA=cpu|cuda (default: cuda on x86-64 if nvidia-smi works), WORKERS=test processes (2), COUNT=inputs per
# reader for `make fuzz` (20000), OUT=files of `make bench` without the ending (bench).

PY := .venv/bin/python
ifndef EXTRA
EXTRA := $(shell if [ "$$(uname -m)" = x86_64 ] && nvidia-smi >/dev/null 2>&1; then echo cuda; else echo cpu; fi)
endif
WORKERS ?= 2
COUNT ?= 20000
OUT ?= bench
STAMP := .venv/installed-$(EXTRA)
TOOLS := .venv/tools-$(EXTRA)
PYTEST := $(PY) -m pytest -n $(WORKERS) --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all fuzz lint web-lint format docs bench lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-9s %s\n", $$1, $$2}'

install: $(TOOLS)  ## create .venv with the pinned versions, test tools included

demo: $(STAMP)  ## train on the built-in demo set for a few minutes
	@$(PY) train.py --model pggan --preset demo
	@.venv/bin/gan-tf evaluate checkpoints/demo-pggan --metrics swd2k,fd5k-lite2

test: $(TOOLS)  ## run the quick tests
	@$(PYTEST) -q

test-all: $(TOOLS)  ## run the slow tests, which `make test` leaves out
	@$(PYTEST) -q -m slow

fuzz: $(TOOLS)  ## run every file reader on thousands of damaged files
	@FUZZ_COUNT=$(COUNT) $(PY) -m pytest -v -m slow tests/fuzz/test_fuzz.py

lint: $(TOOLS)  ## check style and the import table
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m pytest -q tests/test_import_table.py

web-lint:  ## check types and style of the web app (needs npm)
	@command -v npm >/dev/null || { echo "make web-lint needs npm (Debian: apt-get install npm)"; exit 1; }
	@cd web && npm ci --no-audit --no-fund --loglevel=error >/dev/null && npm run --silent check

format: $(TOOLS)  ## format the code with ruff
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

docs: $(STAMP)  ## write docs/commands.md from the --help of every command
	@$(PY) docs/make_commands.py

bench: $(STAMP)  ## measure the speed on this machine
	@$(PY) benchmarks/bench.py --out $(OUT)

lock: $(STAMP)  ## update requirements/*.txt (needs Python 3.11)
	@python3.11 requirements/lock.py

clean:  ## remove .venv, caches and build products; runs in checkpoints/ stay
	@rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A working environment is updated, unless it contains the other TensorFlow: tensorflow and tensorflow-cpu are two
# distributions of one module. The stamp is written last, so that an interrupted install is repeated.
$(STAMP): requirements/cpu.txt requirements/cuda.txt pyproject.toml setup.py requirements/venv.sh
	@sh requirements/venv.sh $(EXTRA)
	@touch $@

$(TOOLS): $(STAMP) requirements/test.txt
	@echo "Installing the test tools into .venv"
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements/$(EXTRA).txt -r requirements/test.txt
	@touch $@
