# make demo   train on demo videos, then recognise unseen classes (results in runs/demo)
# make compare-demo   train every method on the demo and compare them (runs/compare-demo)
# make test   run the tests
# make soak   kill training runs (kill -9, SIGTERM) and check that they go on
# make fuzz   feed the parsers with damaged and hostile inputs for ten minutes
# make lint   check style
# make PYTHON=/path/to/python3.12 test   with another Python; it gets an environment of its own

PYTHON ?= python3
# Tests that run at once; each may take 4 GB of memory.
JOBS ?= 2
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
VENV := .venv$(if $(filter python3,$(PYTHON)),,-$(VERSION))
REQUIREMENTS := $(if $(filter 3.11,$(VERSION)),requirements.lock,requirements.txt)
BIN := $(VENV)/bin

.PHONY: demo compare-demo test soak fuzz lint
demo: $(VENV)/installed
	$(BIN)/python train.py --config=configs/demo.py --workdir=runs/demo

# The same steps, episodes, rate and frozen encoder for all; the last three need no training.
# Training takes features of eight random clips of each video, made once.
DEMO := --config=configs/demo.py:method
compare-demo: $(VENV)/installed
	$(BIN)/python -m mdmf_jax compare $(DEMO)=mdmf \
	  --config=mdmf_tuples=configs/demo.py:method=mdmf,mdmf.matcher=tuples \
	  $(DEMO)=clip_fsar $(DEMO)=trx $(DEMO)=cross_transformer $(DEMO)=segment_transformer \
	  $(DEMO)=otam $(DEMO)=mean_pool $(DEMO)=zero_shot \
	  --config.train.cached_clips=8 --train=runs/compare-demo --pairs=order --episodes=2000 --out=runs/compare-demo

test: $(VENV)/installed
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "not slow"

soak: $(VENV)/installed
	$(BIN)/python tests/soak/soak.py --kills 20
	$(BIN)/python -m pytest -m slow tests/training/test_preemption.py

fuzz: $(VENV)/installed
	$(BIN)/python tests/fuzz/fuzz.py --minutes 10

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
