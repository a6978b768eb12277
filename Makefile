# make fly    installs what flying needs into .venv and flies a 20 s hover
# make check  installs what training and testing need and runs what takes two minutes on two cores
# make test   runs every check, also those with whole graphs, firmware and containers, and slow ones
# make docker-test  flies and judges the stack in containers; ARGS=--help lists what it can do
# make train  trains a spiking policy of your own

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
DRONES := swarm-drone-gym==2.0.0.3
ARGS ?=
POLICY ?=

.PHONY: fly check quick test lint docker-test train clean

fly: $(VENV)/.flight
	$(BIN)/snn-fly $(ARGS)

# lint and types beside the tests that need no graph, firmware or container
check: $(VENV)/.test
	$(MAKE) --jobs=2 --output-sync lint quick

quick: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 -m "not system and not realtime and not slow" $(ARGS)

test: $(VENV)/.test lint
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

# Needs Docker, or root on a machine where an engine can run; no environment of ours.
docker-test:
	$(PYTHON) docker/sim_in_the_loop.py $(if $(POLICY),--policy '$(POLICY)') $(ARGS)

train: $(VENV)/.test
	$(BIN)/python training/jsrl.py $(ARGS)

clean:
	rm -rf $(VENV) ros2_ws/build ros2_ws/install ros2_ws/log

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.flight: pyproject.toml | $(VENV)/bin/python
	$(PIP) install --quiet --editable '.[flight]'
	touch $@

# torch first and pinned: a looser request would fetch gigabytes of CUDA. The package with the module
# gym_pybullet_drones asks for older dependencies than it needs, hence --no-deps.
$(VENV)/.test: $(VENV)/.flight
	$(PIP) install --quiet torch==2.13.0
	$(PIP) install --quiet --editable '.[flight,crazyflie,training,sweep,dev]'
	$(PIP) install --quiet scipy transforms3d
	$(PIP) install --quiet --no-deps $(DRONES)
	touch $@
