# Two commands from a fresh clone: `make tag MUSIC=~/Music` and `make test`.
# `make weights` trains our own checkpoints again from GTZAN's taggrams (DATA).
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
MUSIC  ?=
export MUSIC
ARGS   ?=
DATA   ?= ../shared/data/gtzan
MADE   ?= build/weights

# Versions to install; empty for the newest that pyproject.toml accepts.
CONSTRAINTS ?= constraints.txt
PINNED      := $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS))

.PHONY: install tag test lint types unit test-newest test-oldest constraints coverage docs weights clean

$(VENV)/bin/python:
	@echo "genretag: making a virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade pip

# What tagging needs.
$(VENV)/.tagging: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	@echo "genretag: installing what tagging needs into $(VENV); PyTorch is large, so the first time takes minutes"
	@$(BIN)/python -m pip install $(PINNED) --editable .
	@touch $@

# What the tests need too.
$(VENV)/.installed: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	@echo "genretag: installing what tests and development need into $(VENV)"
	@$(BIN)/python -m pip install --quiet $(PINNED) --editable ".[dev]"
	@touch $(VENV)/.tagging $@

install: $(VENV)/.installed

# The shell reads MUSIC from the environment, so that quotes and spaces in it are safe; "~/" is for shells that keep it in
# an argument. Exit code 1 says that some files failed, which the summary has named; 2 and above are errors.
tag: $(VENV)/.tagging
	@test -n "$$MUSIC" || { echo "say which music: make tag MUSIC=~/Music" >&2; exit 2; }
	@case "$$MUSIC" in "~/"*) MUSIC="$$HOME/$${MUSIC#"~/"}" ;; esac; \
	echo "genretag: tagging $$MUSIC"; \
	$(BIN)/genretag tag $(ARGS) -- "$$MUSIC"; code=$$?; test $$code -eq 1 || exit $$code

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed
	$(BIN)/mypy

unit: $(VENV)/.installed
	$(BIN)/python -m pytest -n 2 --dist loadgroup

test: lint types unit

# The newest release of everything, with the Python that PYTHON names: make test-newest PYTHON=python3.13
NEWEST := build/newest
test-newest:
	@echo "genretag: installing the newest releases into $(NEWEST)"
	@$(PYTHON) -m venv --clear $(NEWEST)
	@$(NEWEST)/bin/python -m pip install --quiet --upgrade pip
	@$(NEWEST)/bin/python -m pip install --quiet --upgrade --upgrade-strategy eager --editable ".[dev]"
	$(NEWEST)/bin/mypy
	$(NEWEST)/bin/python -m pytest -n 2 --dist loadgroup

# The oldest versions that pyproject.toml accepts, found by uv, with the tools of the tests at their newest.
OLDEST := build/oldest
EXTRAS := tune imagenet cluster remote beets
test-oldest:
	@echo "genretag: installing the oldest accepted releases into $(OLDEST)"
	@$(PYTHON) -m venv --clear $(OLDEST)
	@$(OLDEST)/bin/python -m pip install --quiet --upgrade pip uv
	@$(OLDEST)/bin/uv pip compile --quiet --resolution lowest-direct --python $(OLDEST)/bin/python \
	  $(EXTRAS:%=--extra %) pyproject.toml --output-file $(OLDEST)/constraints.txt
	@$(OLDEST)/bin/python -m pip install --quiet --constraint $(OLDEST)/constraints.txt --editable ".[dev]"
	$(OLDEST)/bin/python -m pytest -n 2 --dist loadgroup

constraints:
	@{ grep '^#' constraints.txt; $(NEWEST)/bin/python -m pip freeze --exclude-editable | sed 's/+[^ ]*$$//'; } \
	  > $(NEWEST)/constraints.txt
	@mv $(NEWEST)/constraints.txt constraints.txt

# Lines of what writes into files that the tests of it run, their processes too. Without the crash trials: these record
# every file that a run makes, and would find those of coverage among them.
CORE_TESTS = tests/tagging tests/library tests/cli/test_tag_command.py tests/cli/test_apply_command.py \
  tests/cli/test_one_run_at_a_time.py tests/cli/test_signals.py tests/cli/test_resume_command.py \
  tests/cli/test_map_command.py tests/cli/test_watch_command.py tests/cli/test_tag_by_album.py tests/audio/test_remote.py \
  tests/test_store.py tests/test_journal.py tests/test_places.py

coverage: $(VENV)/.installed
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -p no:xdist --ignore tests/tagging/test_crash.py $(CORE_TESTS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# docs/commands.md and the manual page, from the live commands.
docs: $(VENV)/.installed
	$(BIN)/python -m tools.manual

TAGGRAMS = $(DATA)/musicnn_msd_taggram_train.npz

weights: $(VENV)/.installed
	rm -rf $(MADE)/gtzan-musicnn
	$(BIN)/genretag train --dataset gtzan --model probe --features $(TAGGRAMS) --inner-folds 10 \
	  --set 'statistics=["mean"]' --set logit=false --set c=0.1 --set discriminant=0.7 --name gtzan-musicnn \
	  --licence "MIT (head), ISC (musicnn-msd)" --out $(MADE)/gtzan-musicnn
	cp $(MADE)/gtzan-musicnn/checkpoint.safetensors weights/gtzan-musicnn.safetensors
	$(BIN)/python weights/build_auto.py --taggrams $(TAGGRAMS)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
