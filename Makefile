# `make test` and `make demo` need a Python of 3.11 or newer and set up the rest themselves.

# The first that really runs: version managers put stubs on PATH that exist and fail.
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$python; break; }; done)

.DEFAULT_GOAL := help
.PHONY: help python test demo demo-down soak bench lint docs clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1  /p' $(MAKEFILE_LIST) | awk -F '  ' '{ printf "make %-10s %s\n", $$1, $$2 }'

python:
	@test -n '$(PYTHON)' || { echo 'missing: Python 3.11 or newer (on Debian and Ubuntu: sudo apt-get install python3)' >&2; exit 2; }

demo: python ## start real servers with real faults, run the weekly cadence against them, print the verdict
	@$(PYTHON) tests/bed/demo.py up

demo-down: python ## stop all that the demo started
	@$(PYTHON) tests/bed/demo.py down

test: python ## all gates; SESSIONS="unit lint" runs some of them
	@$(PYTHON) tests/gates.py $(SESSIONS)

soak: python ## all gates and the exhaustive tests
	@$(PYTHON) tests/gates.py --soak

lint: python ## style, types, documentation, Galaxy's own checks
	@$(PYTHON) tests/gates.py lint

bench: python ## the benchmarks; results land in benchmarks/results
	@$(PYTHON) tests/gates.py bench

docs: python ## the reference of every plugin and role as HTML, in .cache/docs
	@$(PYTHON) tests/gates.py docs

clean: ## delete every tool's state (a demo that runs is left alone: make demo-down)
	rm -rf .nox .cache .ansible tests/output cadence-upkeep-*.tar.gz .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.*
	find . -name __pycache__ -type d -not -path './.git/*' -not -path './.demo/*' -prune -exec rm -rf {} +
