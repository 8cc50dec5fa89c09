# Two commands: `make repro` runs the whole pipeline, `make test` the tests. Each sets itself up in .venv first.
# Needs Python 3.11 or later (another one: make repro PYTHON=python3.12) and make; a download without .git will do.

PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
# DVC and accelerate start `python` by name: it must be this environment's.
export PATH := $(BIN):$(PATH)
# Extras that the tests may use; without ray, demo, lm-eval and bertscore their tests skip, saying so.
EXTRAS ?= test
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt
# What umap-learn needs is compiled at its first import, half a minute, and kept beside it.
COMPILE := $(BIN)/python -c "import umap"

.DEFAULT_GOAL := help
.PHONY: help repro test lint clean

help:
	@sed -n 's/^# //p' Makefile | head -2

repro: $(VENV)/.installed
	@test -e .git || $(BIN)/dvc config --local core.no_scm true  # a ZIP download has no .git, which DVC asks for
	@mkdir -p artifacts
	@$(BIN)/python -m pipeline.repro > artifacts/dvc.log  # each stage says on stderr what it did; DVC's own words are in the file
	@sed -n '/up to date/p' artifacts/dvc.log

# As many workers as processors; the tests of one file stay together, with what they prepare for each other, the long ones
# first (by their folders' names).
test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n auto --dist loadscope --no-loadscope-reorder

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

clean:
	rm -rf $(VENV)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than Python 3.11; name a newer one: make repro PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

# One installation for each, whatever came before: on a new clone pip resolves and unpacks once.
$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	@echo "installing into $(VENV) (once, some minutes) ..."
	$(INSTALL) --editable .
	$(COMPILE)
	@touch $@

$(VENV)/.installed-test: $(BIN)/python pyproject.toml constraints.txt
	@echo "installing into $(VENV) (once, some minutes) ..."
	$(INSTALL) --editable '.[$(EXTRAS)]'
	$(COMPILE)
	@touch $(VENV)/.installed $@

$(VENV)/.installed-dev: $(BIN)/python pyproject.toml constraints.txt
	@echo "installing into $(VENV) (once, some minutes) ..."
	$(INSTALL) --editable '.[$(EXTRAS),dev]'
	$(COMPILE)
	@touch $(VENV)/.installed $(VENV)/.installed-test $@
