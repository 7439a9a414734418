# make demo: the main job, set-up included. make test: the whole suite, likewise.
PYTHON ?= python3
BIN := .venv/bin
# Arguments for pytest (make test ARGS="-k wire") or for the verb (make demo ARGS="--fleet native").
ARGS ?=

C_SOURCES = $(shell find firmware boards -name '*.[ch]')

.PHONY: help setup setup-test demo test lint format bench lock clean

help:
	@echo "make demo    train a digit classifier over 8 emulated boards (sets up what it needs)"
	@echo "make test    the whole test suite; ARGS goes to pytest"
	@echo "make lint    ruff, mypy --strict, clang-format, cppcheck"
	@echo "make bench   the figures of docs/benchmarks.md; ARGS=\"kernels\" picks one"
	@echo "make setup   .venv with fleetgrad in it, cross compiler and emulator where apt works"
	@echo "make format  lets ruff and clang-format rewrite the sources"
	@echo "make lock    resolves the pinned requirements anew"

setup:
	@$(PYTHON) tools/bootstrap.py

setup-test:
	@$(PYTHON) tools/bootstrap.py --test

demo: setup
	@$(BIN)/fleetgrad demo $(ARGS)

test: setup-test
	$(BIN)/python -m pytest -n auto $(ARGS)

lint: setup-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@echo clang-format firmware boards
	@$(BIN)/clang-format --dry-run -Werror $(C_SOURCES)
	@$(BIN)/python tools/cppcheck.py

format: setup-test
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(C_SOURCES)

bench: setup-test
	$(if $(ARGS),$(BIN)/fleetgrad bench $(ARGS),\
	$(BIN)/fleetgrad bench kernels && $(BIN)/fleetgrad bench accuracy && $(BIN)/fleetgrad bench memory)

lock:
	$(PYTHON) tools/lock.py

clean:
	rm -rf build
