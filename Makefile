# Two commands: `make demo` and `make test`. Each makes its own environment from Python 3.11-3.13.

PYTHON ?= $(shell for v in 3.11 3.12 3.13; do \
	command -v python$$v >/dev/null 2>&1 && python$$v -c pass >/dev/null 2>&1 && echo python$$v && break; \
	done || true)
ifeq ($(strip $(PYTHON)),)
PYTHON := python3
endif
PIP = -m pip --disable-pip-version-check -q
PINS = -c .ci/constraints.txt
OUT ?= demo-night
# Where it is set, each of the tests' hundreds of processes would compile our sources anew: a third of
# a second.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check docs coverage test-slow test-versions mutants lint types unit wheel-test clean

demo: .venv/done
	.venv/bin/streaks demo -o $(OUT)

# What runs on one core goes side by side, before what takes both.
test: .venv-dev/done
	$(MAKE) -j2 --output-sync=target lint types docs
	$(MAKE) unit
	$(MAKE) wheel-test

# Before a commit: no wheel, no site.
check: lint types unit

# The site, in docs/_build/html. Warnings are errors; links between pages are checked by MyST.
docs: .venv-dev/done
	.venv-dev/bin/python -m sphinx -q -W --keep-going -b html docs docs/_build/html

lint: .venv-dev/done
	.venv-dev/bin/ruff check streaks tests benchmarks docs cli.py .ci/docstrings
	.venv-dev/bin/ruff format --check streaks tests benchmarks docs cli.py .ci/docstrings
	.venv-dev/bin/python .ci/docstrings

types: .venv-dev/done
	.venv-dev/bin/mypy

# Tests of the working tree, training included. Kernels are compiled first, each once: two workers
# would compile the same ones at the same time. A worker takes half of the files and then from the
# other's end, so that what a file's tests share is made once.
unit: .venv-dev/done
	.venv-dev/bin/python -m streaks.compiling
	OMP_NUM_THREADS=1 .venv-dev/bin/python -m pytest -m "not slow" -q -n 2 --dist worksteal

# The unit tests again, with the lines that they reach; takes twice as long as `make unit`. What is
# left is listed, the least covered file first; tests that fail for want of time do not stop it.
coverage: .venv-dev/done
	rm -f .coverage .coverage.*
	-OMP_NUM_THREADS=1 .venv-dev/bin/python -m coverage run -m pytest -m "not slow" -q -n 2
	.venv-dev/bin/python -m coverage combine -q
	.venv-dev/bin/python -m coverage report --skip-covered --sort=cover -m

# The built wheel, without extras, outside the clone: the demo night, and tests of each room.
wheel-test: .venv-dev/done
	PYTHON=$(PYTHON) .ci/wheel-test

test-slow: .venv-dev/done
	.venv-dev/bin/python -m pytest -m slow -q

# The lowest versions that are promised, and other Pythons.
test-versions:
	.ci/versions-test

# Whether the tests see a changed line; takes an hour or two.
mutants: .venv-dev/done
	.venv-dev/bin/python -m benchmarks.mutants --per-room 20

# An environment is whole or it is made again.
.venv/done: pyproject.toml .ci/constraints.txt
	rm -rf .venv
	$(PYTHON) -m venv .venv
	.venv/bin/python $(PIP) install $(PINS) -e .
	touch $@

.venv-dev/done: pyproject.toml .ci/constraints.txt
	rm -rf .venv-dev
	$(PYTHON) -m venv .venv-dev
	.venv-dev/bin/python $(PIP) install $(PINS) -e ".[dev,train,docs]"
	touch $@

clean:
	rm -rf .venv .venv-dev build dist demo-night docs/_build docs/api
