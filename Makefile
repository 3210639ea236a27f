# Two commands from a fresh clone: `make tag MUSIC=~/Music` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
MUSIC  ?=
ARGS   ?=

.PHONY: install tag test lint types unit clean

# A CPU-only build of torch already on the machine is kept; nothing newer is pulled in over it.
$(VENV)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

install: $(VENV)/.installed

tag: $(VENV)/.installed
	@test -n "$(MUSIC)" || { echo "say which music: make tag MUSIC=~/Music" >&2; exit 2; }
	$(BIN)/genretag tag $(ARGS) "$(MUSIC)"

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed
	$(BIN)/mypy

unit: $(VENV)/.installed
	$(BIN)/python -m pytest -n 2 --dist loadgroup

test: lint types unit

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
