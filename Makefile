# Two targets do all the set-up on a fresh machine: `make demo` and `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
# The CPU, CUDA or ROCm build of torch is yours to choose (README, "Choosing a torch"): make TORCH='...' demo
TORCH ?= torch==2.13.0
OUT ?= out/quickstart
OPTIONS ?=
BIN := .venv/bin

.PHONY: demo test lint format wheel-test clean

demo: .venv/ready
	$(BIN)/tsuzuri build recipes/quickstart.yaml --out $(OUT) $(OPTIONS)

# Files of tests are shared out among a few processes: much of what they do is waiting for servers and brokers.
test: .venv/dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile -m 'not large and not gpu' $(PYTEST)

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The wheel alone, in an empty environment, passes the pulse tests.
wheel-test: .venv/dev
	rm -rf build/wheel && mkdir -p build/wheel
	$(BIN)/python -m build --wheel --outdir build/wheel .
	$(PYTHON) -m venv build/wheel/venv
	build/wheel/venv/bin/pip install -q -c constraints.txt $(TORCH)
	build/wheel/venv/bin/pip install -q -c constraints.txt "$$(ls build/wheel/*.whl)[train]" pytest pytest-timeout hypothesis
	build/wheel/venv/bin/python -m pytest -m pulse tests/test_pulse.py

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' || { echo "this Python has no venv: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt $(TORCH)
	$(BIN)/pip install -q -c constraints.txt -e '.[train]'
	@touch $@

.venv/dev: .venv/ready
	$(BIN)/pip install -q -c constraints.txt -e '.[train,dev]'
	@touch $@

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache
