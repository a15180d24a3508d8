# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
#
# The checks, each runnable alone.

TOOLS := build/tools

LINTS := lint-sanity lint-ansible lint-ruff lint-mypy lint-yaml lint-cfn lint-oldest lint-changelog lint-docs lint-import

.PHONY: lint
lint: $(CHECKERS) ## Every check, two at a time
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target $(LINTS)

.PHONY: lint-ruff
lint-ruff: $(CHECKERS) ## Python: style, likely bugs, complexity
	$(VENV)/bin/ruff check --quiet
	$(VENV)/bin/ruff format --check --quiet

.PHONY: lint-mypy
lint-mypy: $(CHECKERS) ## Python: strict types of module_utils and the lab
	tools/mypy.sh

.PHONY: lint-yaml
lint-yaml: $(CHECKERS) ## YAML: style
	$(VENV)/bin/yamllint --strict .

.PHONY: lint-cfn
lint-cfn: $(CHECKERS) ## The CloudFormation templates
	$(VENV)/bin/cfn-lint cfn/*.yml

.PHONY: lint-ansible
lint-ansible: $(CHECKERS) ## Playbooks and roles: ansible-lint, profile production
	$(VENV)/bin/ansible-lint --strict

.PHONY: lint-sanity
lint-sanity: $(CHECKERS) ## The collection: every ansible-test sanity test, Python 3.12 and 3.13
	$(PYTHON) tools/sanity.py

.PHONY: lint-oldest
lint-oldest: $(CHECKERS) ## What runs on instances, on the oldest Pythons there
	$(PYTHON) tools/oldest_python.py

.PHONY: lint-changelog
lint-changelog: $(CHECKERS) ## The changelog's fragments
	$(VENV)/bin/antsibull-changelog lint

# Of the artefact, unpacked: antsibull-docs copies what git knows, and git ignores the amazon.aws of the environment.
.PHONY: lint-docs
lint-docs: build $(TOOLS)/antsibull-docs/installed ## The documentation of plugins and roles
	rm -rf build/docs && mkdir -p build/docs && tar -xzf build/artefact/policyproof-ecr-*.tar.gz -C build/docs
	GIT_DIR=/dev/null $(TOOLS)/antsibull-docs/bin/antsibull-docs lint-collection-docs --plugin-docs --skip-rstcheck build/docs

.PHONY: lint-import
lint-import: build $(TOOLS)/galaxy-importer/installed ## The artefact, as Galaxy imports it
	$(PYTHON) tools/galaxy_import.py $(TOOLS)/galaxy-importer/bin/python build/artefact/policyproof-ecr-*.tar.gz

# Tools that do not get on with what else is in the environment have one of their own.
$(TOOLS)/%/installed: tools/environments/%.txt $(STAMPS)/requirements
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	$(PYTHON) tools/link_dependencies.py $(@D)/bin/python
	@touch $@
