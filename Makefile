# Each target sets up .venv by itself; python3, make and git are all it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint bench run clean
.DEFAULT_GOAL := demo

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=24"
	$(BIN)/python -m pip install --quiet --editable ".[local,dev]"
	@touch $@

demo: $(VENV)/.installed  ## a recording becomes text, for one credit
	@$(BIN)/relay demo

test: $(VENV)/.installed  ## all tests
	$(BIN)/python -m pytest -n auto --dist loadgroup

lint: $(VENV)/.installed  ## style, types, architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed  ## ratios, measured side by side
	$(BIN)/python -m benchmarks

run: $(VENV)/.installed  ## serve on http://127.0.0.1:8484
	$(BIN)/relay serve

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
