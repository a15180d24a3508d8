# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
#
# The checks, each runnable alone. One that passed is not run again before a file that it reads has changed:
# its stamp under build/lint is newer than all of them.

TOOLS := build/tools
PASSED := build/lint
CHECK := tools/check.sh

# Every file that git tracks or would track, and which of them a check reads.
FILES := $(wildcard $(shell git ls-files --cached --others --exclude-standard 2>/dev/null))
PYTHONS := $(filter %.py,$(FILES))
SHIPPED := $(filter-out .ci/% benchmarks/% build/% extensions/% tests/% tools/%,$(FILES))

SANITY := lint-sanity-3.12 lint-sanity-3.13 lint-sanity-targets
CORES := lint-sanity-2.19 lint-sanity-2.20
# The longest first: two at a time, they end together.
LINTS := $(SANITY) lint-ansible lint-docs lint-import lint-yaml lint-cfn lint-mypy lint-oldest lint-changelog lint-ruff
IN_PARALLEL = @$(MAKE) --no-print-directory --keep-going --jobs=2 --output-sync=target

# What every check reads: the tools' versions, how it is called, and which files there are.
ALWAYS := $(STAMPS)/requirements-dev $(STAMPS)/collection tools/lint.mk $(PASSED)/files

.PHONY: FORCE
$(PASSED)/files: FORCE
	@mkdir -p $(@D)
	@echo '$(FILES)' | cmp -s - $@ || echo '$(FILES)' >$@

##@ The checks

.PHONY: lint $(LINTS) lint-sanity lint-cores $(CORES)
lint: $(CHECKERS) ## Every check, two at a time
	$(IN_PARALLEL) $(LINTS)
	@echo 'lint: nothing found'
# Silent where it need not run.
$(LINTS) $(CORES): ; @:

lint-ruff: $(PASSED)/ruff ## Python: style, likely bugs, complexity
$(PASSED)/ruff: $(ALWAYS) pyproject.toml $(PYTHONS)
	@$(CHECK) $@ sh -ec 'ruff check --quiet; ruff format --check --quiet'

lint-mypy: $(PASSED)/mypy ## Python: strict types of module_utils and the lab
$(PASSED)/mypy: $(ALWAYS) pyproject.toml tools/mypy.sh $(filter lab/% plugins/%,$(PYTHONS))
	@$(CHECK) $@ tools/mypy.sh

lint-yaml: $(PASSED)/yaml ## YAML: style
$(PASSED)/yaml: $(ALWAYS) $(filter %.yml %.yaml .yamllint .ansible-lint,$(FILES))
	@$(CHECK) $@ yamllint --strict .

lint-cfn: $(PASSED)/cfn ## The CloudFormation templates
$(PASSED)/cfn: $(ALWAYS) $(filter cfn/%,$(FILES))
	@$(CHECK) $@ cfn-lint $(filter cfn/%.yml,$(FILES))

# Everything but the Python that no playbook loads.
lint-ansible: $(PASSED)/ansible ## Playbooks and roles: ansible-lint, profile production
$(PASSED)/ansible: $(ALWAYS) $(filter-out benchmarks/% lab/% tests/%.py tools/%,$(FILES))
	@$(CHECK) $@ ansible-lint --strict

lint-sanity: $(CHECKERS) ## The collection: every ansible-test sanity test, on Python 3.12 and 3.13
	$(IN_PARALLEL) $(SANITY)
lint-cores: $(CHECKERS) ## The same on the older ansible-cores that the collection works with; not part of lint
	$(IN_PARALLEL) $(CORES)
$(SANITY) $(CORES): lint-sanity-%: $(PASSED)/sanity-%
$(PASSED)/sanity-%: $(ALWAYS) $(FILES)
	@$(CHECK) $@ $(PYTHON) tools/sanity.py $*

lint-oldest: $(PASSED)/oldest ## What runs on instances, on the oldest Pythons there
$(PASSED)/oldest: $(ALWAYS) tools/oldest_python.py tools/interpreters.py $(filter plugins/module%,$(PYTHONS))
	@$(CHECK) $@ $(PYTHON) tools/oldest_python.py

lint-changelog: $(PASSED)/changelog ## The changelog's fragments
$(PASSED)/changelog: $(ALWAYS) galaxy.yml $(filter changelogs/%,$(FILES))
	@$(CHECK) $@ antsibull-changelog lint

lint-docs: $(PASSED)/docs ## The documentation of plugins and roles
$(PASSED)/docs: $(ALWAYS) tools/lint_docs.sh $(TOOLS)/antsibull-docs/installed $(ARTEFACT)
	@$(CHECK) $@ tools/lint_docs.sh $(TOOLS)/antsibull-docs/bin/antsibull-docs $(ARTEFACT)

lint-import: $(PASSED)/import ## The artefact, as Galaxy imports it
$(PASSED)/import: $(ALWAYS) tools/galaxy_import.py $(TOOLS)/galaxy-importer/installed $(ARTEFACT)
	@$(CHECK) $@ $(PYTHON) tools/galaxy_import.py $(TOOLS)/galaxy-importer/bin/python $(ARTEFACT)

# Tools that do not get on with what else is in the environment have one of their own.
$(TOOLS)/%/installed: tools/environments/%.txt $(STAMPS)/requirements
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	$(PYTHON) tools/link_dependencies.py $(@D)/bin/python
	@touch $@
