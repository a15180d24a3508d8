# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

# Which AWS: the lab on this machine, or inventory/aws.
INVENTORY ?= inventory/lab
# More arguments for ansible-playbook, pytest or molecule.
ARGS ?=

SHELL := /bin/sh
VENV := .venv
PYTHON := $(VENV)/bin/python
STAMPS := $(VENV)/.stamps
PIP_INSTALL := $(PYTHON) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
PLAYBOOK = $(VENV)/bin/ansible-playbook -i $(INVENTORY) $(ARGS)

ARTEFACT := build/artefact/policyproof-ecr-$(shell sed -n 's/^version: //p' galaxy.yml).tar.gz

ENVIRONMENT := $(STAMPS)/requirements $(STAMPS)/collection $(VENV)/bin/session-manager-plugin
CHECKERS := $(ENVIRONMENT) $(STAMPS)/requirements-dev

export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# Not the home directory, where an installed copy would shadow this checkout: the environment has every collection.
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/$(VENV)/collections
# Everything here runs in many short processes, which would compile their sources again each time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

##@ The job

.PHONY: help
help: ## List what make can do
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' \
		$(MAKEFILE_LIST)
	@printf '\nINVENTORY=inventory/aws does the job on AWS; ARGS="…" goes to ansible-playbook, pytest or molecule.\n'

.PHONY: site
site: $(ENVIRONMENT) ## Deploy, configure, probe and prove: the whole job
	$(PLAYBOOK) policyproof.ecr.site

.PHONY: deploy configure verify
deploy: $(ENVIRONMENT) ## Only the stacks
configure: $(ENVIRONMENT) ## Only Docker on the instances
verify: $(ENVIRONMENT) ## Only the attempts, the assertions and the report
deploy configure verify:
	$(PLAYBOOK) policyproof.ecr.$@

.PHONY: destroy
destroy: $(ENVIRONMENT) ## Remove everything that site made, the lab included
	$(PLAYBOOK) policyproof.ecr.destroy

.PHONY: lab lab-down
lab: $(ENVIRONMENT) ## Start the local AWS
	$(PYTHON) lab up
lab-down: $(ENVIRONMENT) ## Stop the local AWS and remove its state
	$(PYTHON) lab down

##@ The proof

.PHONY: test test-unit test-slow test-integration
test: test-unit test-slow test-integration ## Every test
# More workers than cores: some of these tests wait a little.
test-unit: $(CHECKERS) ## The quick tests; one by name: make test-unit ARGS='-k name'
	$(PYTHON) -m pytest -n 4 -m 'not slow' tests/unit $(ARGS)
test-slow: $(CHECKERS) ## The unit tests that start processes, serve sockets or wait
	$(PYTHON) -m pytest -n 2 --dist loadfile -m slow tests/unit $(ARGS)
test-integration: $(CHECKERS) ## The tests that run the lab (as root)
	$(PYTHON) -m pytest -n 2 --dist loadfile tests/fuzz tests/integration tests/consumer $(ARGS)

.PHONY: molecule
molecule: $(CHECKERS) ## The molecule scenarios (as root); on AWS too where there are credentials
	molecule test --scenario-name default $(ARGS)
	molecule test --scenario-name docker_host $(ARGS)
	@if $(PYTHON) -c 'import boto3, sys; sys.exit(boto3.Session().get_credentials() is None)'; then \
		molecule test --scenario-name aws $(ARGS); \
	else echo 'molecule: scenario aws is skipped, there are no AWS credentials.'; fi

.PHONY: bench
bench: $(CHECKERS) ## Measure the job
	$(PYTHON) benchmarks/evaluator.py
	$(PYTHON) -m benchmarks.probe
	$(PYTHON) -m benchmarks.site

include tools/lint.mk

##@ The rest

.PHONY: build
build: $(ARTEFACT) ## The artefact for Galaxy, under build/artefact
$(ARTEFACT): $(STAMPS)/requirements $(PASSED)/files $(SHIPPED)
	rm -rf $(@D)
	$(VENV)/bin/ansible-galaxy collection build --force --output-path $(@D)

.PHONY: lock
lock: | $(PYTHON) ## Resolve requirements*.txt anew into constraints.txt
	$(PYTHON) tools/lock.py

.PHONY: clean
clean: ## Remove what can be made again, the environment included; the lab must be down
	@test ! -e .lab/lab.json || { echo "A lab is up: 'make destroy' or 'make lab-down' first." >&2; exit 1; }
	rm -rf build $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

# The environment. Each stamp is newer than what it was made from, so make does again only what changed.

$(PYTHON):
	python=$$(tools/find_python.sh) && "$$python" -m venv --clear $(VENV)

$(STAMPS)/requirements: constraints.txt requirements.txt | $(PYTHON)
	$(PIP_INSTALL) ansible --requirement requirements.txt
	@mkdir -p $(@D) && touch $@

$(STAMPS)/requirements-dev: constraints.txt requirements-dev.txt $(STAMPS)/requirements
	$(PIP_INSTALL) --requirement requirements-dev.txt
	@touch $@

# Live edits: the collection that Ansible loads is this checkout.
$(STAMPS)/collection: $(STAMPS)/requirements
	purelib=$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("purelib"))') && \
		mkdir -p "$$purelib/ansible_collections/policyproof" && \
		ln -sfn '$(CURDIR)' "$$purelib/ansible_collections/policyproof/ecr"
	@touch $@

# Connections find it on the PATH, as they would AWS's own.
$(VENV)/bin/session-manager-plugin: Makefile | $(STAMPS)/requirements
	printf '#!/bin/sh\nexec %s -I -S %s "$$@"\n' '$(abspath $(PYTHON))' '$(CURDIR)/lab/session_manager/plugin.py' >$@
	chmod 755 $@
