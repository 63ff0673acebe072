# `make` lists what there is.
PYTHON := .venv/bin/python
.DEFAULT_GOAL := help
.PHONY: help setup test test-all lint docs bench

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 12

setup: ## the virtual environment .venv, with all that tests and benchmarks need
	python3 -m venv .venv
	.venv/bin/pip install -q -e '.[test,bench,release]'

test: ## the unit tests, in less than a minute
	$(PYTHON) -m pytest -q -n 2 -m "not slow" tests/unit

test-all: ## all tests, in half an hour on 2 cores
	$(PYTHON) -m pytest -q -n 5

lint: ## style, types, architecture, spelling
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	$(PYTHON) -m pytest -q tests/unit/test_words.py

docs: ## writes again what is made from the code: man page, JSON Schemas, lists, pictures
	$(PYTHON) docs/man/generate.py > docs/man/crawlerd.1.new
	mv docs/man/crawlerd.1.new docs/man/crawlerd.1
	$(PYTHON) -m crawlerd.cli.schemas docs/schemas
	$(PYTHON) docs/generate.py
	$(PYTHON) docs/pictures/terminal.py

bench: ## each benchmark once, at sizes of nothing: does it run?
	$(PYTHON) -m pytest -q tests/e2e/test_bench_smoke.py
