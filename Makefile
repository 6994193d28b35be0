.PHONY: help install test slow format check docs notebook build

help:  ## show this list
	@grep -E '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

install:  ## install medmint for development into the active environment
	python -m pip install -e ".[dev]" -c constraints.txt

test:  ## run the tests that need no network, GPU or long wait
	python -m pytest

slow:  ## run the slow tests
	python -m pytest -m slow

format:  ## lay out the code, mend what can be mended
	python -m ruff check --fix
	python -m ruff format

check:  ## lint, layout and types, changing nothing
	python -m ruff format --check
	python -m ruff check
	python -m mypy

docs:  ## build the documentation into site/
	python -m mkdocs build --strict

notebook:  ## execute the notebooks again, in place
	jupyter execute --inplace notebooks/*.ipynb

build:  ## build wheel and source archive into dist/
	python -m build
