# Each target sets up .venv by itself; python3, make and git are all it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CLIENTS := tests/clients/node_modules/.package-lock.json

.PHONY: demo test lint bench run clean
.DEFAULT_GOAL := demo

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=24"
	$(BIN)/python -m pip install --quiet --editable ".[local,dev]"
	@touch $@

# The tests that call the relay with clients for Node skip where it is missing.
$(CLIENTS): tests/clients/package-lock.json
	@if command -v npm >/dev/null; then npm ci --prefix tests/clients --no-audit --no-fund --silent && touch $@; fi

demo: $(VENV)/.installed  ## a recording becomes text, for one credit
	@$(BIN)/relay demo

test: $(VENV)/.installed $(CLIENTS)  ## all tests
	@command -v chromium >/dev/null || echo "The browser tests are skipped: they need Debian's chromium (apt-get install chromium)."
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
	rm -rf $(VENV) tests/clients/node_modules build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
