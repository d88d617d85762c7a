# make demo   train on demo videos, then recognise unseen classes (results in runs/demo)
# make compare-demo   train every method on the demo and compare them (runs/compare-demo)
# make compare-adapted   of these, the comparison of frozen and adapted towers, three seeds
# make demo-people   recognise what generated people do: the motion encoder against what needs no learning
# make test   run the tests; make test-slow runs those that take more than a minute
# make test-wheel   build the wheel, install it into an empty environment and use it elsewhere
# make parity   compare with every stored number of the published programs
# make soak   kill training runs (kill -9, SIGTERM) and check that they go on
# make fuzz   feed the parsers with damaged and hostile inputs for ten minutes
# make lint   check style; make types checks types; make hooks has both checked at each commit
# make PYTHON=/path/to/python3.12 test   with another Python; it gets an environment of its own

PYTHON ?= python3
# Tests that run at once; each may take 4 GB of memory. Those that need several (fake) devices run
# after the others: a process has one number of devices.
JOBS ?= 2
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
VENV := .venv$(if $(filter python3,$(PYTHON)),,-$(VERSION))
# Exact versions on Python 3.11, ranges on others.
REQUIREMENTS := $(if $(filter 3.11,$(VERSION)),requirements.lock,requirements.txt pyproject.toml)
PACKAGES := $(if $(filter 3.11,$(VERSION)),-r requirements.lock,-e .[dev])
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist worksteal --durations=25

.PHONY: demo compare-demo compare-adapted demo-people test test-wheel test-slow parity soak fuzz lint types hooks
demo: $(VENV)/installed
	$(BIN)/python -m mdmf_jax train --config=demo --workdir=runs/demo

# The same steps, episodes, rate and frozen encoder for all; the last three need no training.
# Training takes features of eight random clips of each video, made once.
DEMO := --config=demo:method
compare-demo: $(VENV)/installed
	$(BIN)/python -m mdmf_jax compare $(DEMO)=mdmf \
	  --config=mdmf_tuples=demo:method=mdmf,mdmf.matcher=tuples \
	  $(DEMO)=clip_fsar $(DEMO)=trx $(DEMO)=cross_transformer $(DEMO)=segment_transformer \
	  $(DEMO)=otam $(DEMO)=mean_pool $(DEMO)=zero_shot \
	  --config.train.cached_clips=8 --train=runs/compare-demo --pairs=order --episodes=2000 --out=runs/compare-demo

	$(MAKE) compare-adapted

# Frozen and adapted towers with the same steps, episodes and seeds; adapted ones see pixels. Rate
# 1e-3, but for CLIP-SPM, which trains the whole image tower.
ADAPTED := --config.train.steps=50 --config.train.episodes_per_step=4 --config.train.validate_every=50 \
  --config.train.validate_episodes=100
compare-adapted: $(VENV)/installed
	$(BIN)/python -m mdmf_jax compare \
	  $(DEMO)=mdmf,train.cached_clips=8 "--config=mdmf, LoRA=demo:method=mdmf,adapter=lora" \
	  $(DEMO)=clip_fsar,train.cached_clips=8 "--config=clip_fsar, LoRA=demo:method=clip_fsar,adapter=lora" \
	  $(DEMO)=trx,train.cached_clips=8 "--config=trx, LoRA=demo:method=trx,adapter=lora" \
	  $(DEMO)=ts_fsar $(DEMO)=d2st $(DEMO)=task_adapter_pp $(DEMO)=emp_net \
	  $(DEMO)=clip_spm,train.learning_rate=1e-4 $(ADAPTED) --seeds=0,1,2 \
	  --train=runs/compare-adapted --pairs=order --episodes=2000 --out=runs/compare-adapted

# The videos are made at the first call (a minute).
demo-people: $(VENV)/installed
	$(BIN)/python benchmarks/people.py

test: $(VENV)/installed
	$(PYTEST) -m "not slow and not devices and not wheel"; first=$$?; \
	$(PYTEST) -m "not slow and devices" && exit $$first

test-wheel: $(VENV)/installed
	$(BIN)/python -m pytest -m wheel tests/cli/test_wheel.py

parity: $(VENV)/installed
	$(BIN)/python tests/parity/check.py

test-slow: $(VENV)/installed
	$(PYTEST) -m slow

soak: $(VENV)/installed
	$(BIN)/python tests/soak/soak.py --kills 20
	$(BIN)/python -m pytest -m slow tests/training/test_preemption.py

fuzz: $(VENV)/installed
	$(BIN)/python tests/fuzz/fuzz.py --minutes 10

lint: $(VENV)/installed
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(VENV)/installed
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --pythonpath $(BIN)/python

hooks: $(VENV)/installed
	$(BIN)/pre-commit install

$(VENV)/installed: $(REQUIREMENTS)
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "error: Python $(VERSION) is not supported; use 3.11, 3.12 or 3.13: make PYTHON=..."; exit 2; }
	@echo "Installing $(REQUIREMENTS) into $(VENV) (a few minutes, once)"
	@$(PYTHON) -m venv --clear $(VENV) || \
	  { echo "error: no venv; on Debian or Ubuntu: apt-get install python3-venv"; exit 2; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --use-pep517 $(PACKAGES)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@
