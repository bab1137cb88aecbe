# Two commands do all the set-up: `make demo` and `make test`. Each makes the virtual environment it needs.
# The first Python that will do; another one with `make demo PYTHON=/path/to/python`.
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13 python3.14; do \
  "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v "$$p"; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test test-all soak bench check schemas diagrams images docs golden test-lowest format clean

# What is missing is said before anything is installed.
$(VENV)/bin/python:
	@test -n '$(PYTHON)' || { echo 'make: no Python 3.11 or later: install one, or name it:' \
	  'make demo PYTHON=/path/to/python' >&2; exit 1; }
	@'$(PYTHON)' -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'make: $(PYTHON) is not' \
	  'Python 3.11 or later: name another one: make demo PYTHON=/path/to/python' >&2; exit 1; }
	@'$(PYTHON)' -c 'import ensurepip, venv' 2>/dev/null || { echo 'make: $(PYTHON) cannot make virtual' \
	  'environments: install its venv package (python3-venv on Debian)' >&2; exit 1; }
	'$(PYTHON)' -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	@echo 'Installing the program, and what the demo needs, into $(VENV): less than a minute.'
	$(PIP) install --editable '.[demo]'
	touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	@echo 'Installing the program, and what its tests need, into $(VENV): about a minute.'
	$(PIP) install --editable '.[dev,demo]'
	touch $@

demo: $(VENV)/.demo  ## a governed lint-and-fix of a real package: blocked, failed, resumed, done
	$(BIN)/python examples/lint_fix/demo.py demo-out

# A test waits for processes about as long as it computes: twice as many workers as a small machine has processors.
# Of the tests that run commands it takes half, of one of many cases fewer, and half of the longest: the seed that is
# printed says which, another one draws others. `make test-all` takes them all.
test: $(VENV)/.dev  ## the test suite, a sample of what runs commands
	$(BIN)/pytest -n 4 --dist worksteal -o tmp_path_retention_policy=failed

test-all: $(VENV)/.dev  ## the test suite, every case
	WHOLE=1 $(BIN)/pytest -n 4 --dist worksteal -o tmp_path_retention_policy=failed

# Every case, and at length what the others only begin: there one operation of each kind fails, some runs are killed, at
# few moments, a third of the commands meets each odd kind of file, an eighth of the examples is drawn. For whoever
# changes how a run is recorded, locked, archived or killed. Takes about an hour.
soak: $(VENV)/.dev  ## every case, every fault point, every kill point, the model at length
	SOAK=1 $(BIN)/pytest -n 4 --dist worksteal -o tmp_path_retention_policy=failed

$(VENV)/.bench: pyproject.toml | $(VENV)/.dev
	$(PIP) install --editable '.[dev,demo,bench]'
	touch $@

bench: $(VENV)/.bench  ## what runs, transitions and commands cost, next to floors and to other programs
	$(BIN)/python -m tests.bench --json bench.json

check: $(VENV)/.dev  ## format, lint, types, layers, the built wheel in an empty environment
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	PYTHON=$(PYTHON) sh tests/wheel_test.sh

schemas: $(VENV)/.dev  ## the published JSON Schemas in docs/schemas
	for name in $$($(BIN)/python -c 'from fsm_orchestrator.vocabulary import SchemaName; print(*SchemaName)'); do \
	  $(BIN)/fsm-orchestrator schema $$name > docs/schemas/$$name.schema.json || exit 1; \
	done

diagrams: $(VENV)/.dev  ## what is made of the built-in lifecycles: their pictures in diagrams, their judged tables in states
	$(BIN)/python -m tests.tools.judged_lifecycles states/judged.jsonl
	$(BIN)/python -m tests.tools.lifecycle_pictures diagrams

images: $(VENV)/.dev  ## the pictures in docs/images, of real commands on a terminal
	$(BIN)/python -m tests.tools.pictures docs/images

docs: $(VENV)/.dev  ## what is made from the code: docs/cli.md, the map of the rooms, what the examples of all pages print
	$(BIN)/python -m tests.tools.cli_reference docs/cli.md
	$(BIN)/python -m tests.tools.room_map CONTRIBUTING.md
	REWRITE_GOLDEN=1 $(BIN)/pytest -q -n 2 tests/contracts/test_documents.py tests/contracts/test_*_guide.py

golden: $(VENV)/.dev  ## the file of all error messages, to be read before it is committed
	REWRITE_GOLDEN=1 $(BIN)/pytest -q tests/contracts/test_errors.py

test-lowest:  ## the test suite against the lowest version of each dependency that pyproject.toml allows
	$(PYTHON) -m venv .venv-lowest
	sed -n '/^dependencies/,/^]/s/.*"\([a-z-]*\)>=\([0-9.]*\)".*/\1==\2/p' pyproject.toml > .venv-lowest/lowest.txt
	.venv-lowest/bin/pip install --quiet --editable '.[dev,demo]' --constraint .venv-lowest/lowest.txt
	.venv-lowest/bin/pytest -n 4 --dist worksteal -o tmp_path_retention_policy=failed

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .venv-lowest build dist *.egg-info demo-out
