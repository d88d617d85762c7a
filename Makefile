# make demo   train on demo videos, then recognise unseen classes (results in runs/demo)
# make test   run the tests
# make lint   check style
# make PYTHON=/path/to/python3.12 test   with another Python; it gets an environment of its own

PYTHON ?= python3
# Tests that run at once; each may take 4 GB of memory.
JOBS ?= 2
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
VENV := .venv$(if $(filter python3,$(PYTHON)),,-$(VERSION))
REQUIREMENTS := $(if $(filter 3.11,$(VERSION)),requirements.lock,requirements.txt)
BIN := $(VENV)/bin

.PHONY: demo test lint
demo: $(VENV)/installed
	$(BIN)/python train.py --config=configs/demo.py --workdir=runs/demo

test: $(VENV)/installed
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "not slow"

lint: $(VENV)/installed
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

$(VENV)/installed: $(REQUIREMENTS)
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "error: Python $(VERSION) is not supported; use 3.11, 3.12 or 3.13: make PYTHON=..."; exit 2; }
	@echo "Installing $(REQUIREMENTS) into $(VENV) (a few minutes, once)"
	@$(PYTHON) -m venv --clear $(VENV) || \
	  { echo "error: no venv; on Debian or Ubuntu: apt-get install python3-venv"; exit 2; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --use-pep517 -r $(REQUIREMENTS)
	@touch $@
