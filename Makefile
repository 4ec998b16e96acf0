# make lab · make test · make notebooks [CHECK=1] · make machines · make bench · make venv · make requirements
# Needs Python 3.11 or newer, and make. Everything else comes into .venv.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Most tests wait rather than compute.
WORKERS ?= 6
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# In a quarter of pip's time. pip stands by, because it also knows an index that the user has set up for it.
UV := $(BIN)/uv pip install --python $(BIN)/python

.PHONY: help lab test answers notebooks machines bench venv requirements

help:
	@echo "make lab            open the course in JupyterLab, on the first lesson"
	@echo "make test           prove all of it: notebooks, exercises, bench, browser"
	@echo "make notebooks      build and execute the notebooks; CHECK=1 only compares"
	@echo "make answers        known answers and notebooks only: make answers PYTHON=python3.13 VENV=.venv-3.13"
	@echo "make machines       the same on slow, quick, stalling and shared machines, and on each Python: a table"
	@echo "make bench          print the table of figures"
	@echo "make venv           make or update .venv"
	@echo "make requirements   compile requirements.txt from pyproject.toml"

lab: $(READY)
	$(BIN)/jupyter lab notebooks/00_live_laboratory.ipynb

test: $(READY)
	@command -v chromium chromium-browser google-chrome >/dev/null 2>&1 || echo "The browser tests need Chromium, and are skipped without it: apt-get install -y --no-install-recommends chromium fonts-dejavu-core"
	$(BIN)/python -m pytest --nbval -n $(WORKERS) --dist loadfile

answers: $(READY)
	$(BIN)/python -m pytest --nbval -n $(WORKERS) --dist loadfile notebooks tests/course/test_answers.py

notebooks: $(READY)
	$(BIN)/python -m workbench.build $(if $(CHECK),--check)

machines: $(READY)
	$(BIN)/python -m tests.machines

bench: $(READY)
	$(BIN)/python -m tests.benchmarks

venv: $(READY)

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "This course needs Python 3.11 or newer, and '$(PYTHON)' is not: make PYTHON=python3.13 …"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "This Python has no venv module. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) "$$(grep ^uv== requirements.txt)"
	$(UV) --quiet --compile-bytecode -r requirements.txt --editable . || $(PIP) -r requirements.txt --editable .
	$(BIN)/jupyter labextension disable --level=sys_prefix "@jupyterlab/apputils-extension:announcements" >/dev/null 2>&1
	@touch $(READY)

requirements: $(READY)
	$(BIN)/uv pip compile --quiet --universal --upgrade --no-emit-index-url --extra develop --custom-compile-command "make requirements" pyproject.toml -o requirements.txt
	cp requirements.txt binder/requirements.txt
