# Two commands: `make study` and `make test`. Everything else is in `make help`.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
# By its path: some versions of make look for commands in the PATH that they were started with.
RUN := $(VENV)/bin/python -m
.DEFAULT_GOAL := help
.PHONY: help study test lint ui figures paper bench clean
.DELETE_ON_ERROR:
# Stage commands, dvc and snakemake say `python`: this one.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' $(firstword $(MAKEFILE_LIST)) | while IFS='|' read -r name what; \
	do printf '  make %-9s %s\n' "$$name" "$$what"; done

study: $(READY)  ## run whatever is stale, with progress, and say where the paper is (SCALE=smoke|laptop|paper)
	$(if $(SCALE),@$(RUN) pipeline scale $(SCALE))
	@$(RUN) pipeline study

test: $(READY)  ## run all tests, files in parallel
	@$(RUN) pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: $(READY)  ## style, format and types
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy

ui: $(READY)  ## the MLflow UI on 127.0.0.1 (PORT=5000)
	@$(RUN) pipeline ui $(if $(PORT),--port $(PORT))

figures: $(READY)  ## draw the figures from reports/results, without training
	@$(RUN) pipeline figures

paper: $(READY)  ## build the paper from reports/results, without training
	@$(RUN) pipeline paper

bench: $(READY)  ## training speed against a plain loop
	@$(RUN) benchmarks.training

clean:  ## remove what the study makes here; DVC's cache and reports/ stay
	rm -rf plan data features runs evaluated fresh_critics .work .snakemake

# The packages, when the lock changed; then this project, editable.
$(VENV)/.locked: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo \
	"error: '$(PYTHON)' is not Python 3.11 or later; name one that is, e.g. make study PYTHON=python3.12" >&2; exit 2; }
	@echo "Installing into $(VENV) (once; some minutes)"
	@$(PYTHON) -m venv $(VENV)
	@$(RUN) pip install --quiet --disable-pip-version-check --requirement requirements.lock
	@touch $@

$(READY): $(VENV)/.locked pyproject.toml
	@$(RUN) pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
