# make help tells what there is. Needs Python 3.11 or newer, and make. Everything else comes into .venv.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# What a learner needs is installed, and what proving needs besides.
READY := $(VENV)/.ready
PROVING := $(VENV)/.proving
# Most tests wait rather than compute.
WORKERS ?= 6
PYTEST := $(BIN)/python -m pytest --nbval -n $(WORKERS) --dist loadfile
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# In a quarter of pip's time. pip stands by, because it also knows an index that the user has set up for it.
UV := $(VENV)/.uv/bin/uv pip install --quiet --compile-bytecode --python $(BIN)/python

.PHONY: help lab test answers notebooks machines bench venv requirements

help:
	@echo "make lab            open the course in JupyterLab, on the first lesson"
	@echo "make test           prove all of it: notebooks, exercises, bench, browser; LESSON=websockets only that one"
	@echo "make answers        known answers and notebooks only: make answers PYTHON=python3.13 VENV=.venv-3.13"
	@echo "make notebooks      build and execute the notebooks; CHECK=1 only compares, LESSON=websockets only that one"
	@echo "make machines       answers and notebooks on slow, quick, stalling and shared machines: a table"
	@echo "make bench          print the table of figures"
	@echo "make venv           make or update .venv, with all that proving needs"
	@echo "make requirements   compile requirements.txt and requirements-dev.txt from pyproject.toml"

lab: $(READY)
	$(BIN)/jupyter lab notebooks/00_live_laboratory.ipynb

test: $(PROVING)
	@command -v chromium chromium-browser google-chrome >/dev/null 2>&1 || echo "The browser tests need Chromium, and are skipped without it: apt-get install -y --no-install-recommends chromium fonts-dejavu-core"
	@[ -z "$(LESSON)" ] || [ -d "app_snippets/$(LESSON)" ] || { echo "There is no lesson '$(LESSON)'. There are: $$(sed -n 's/^ *"\(.*\)".*/\1/p' app_snippets/course.toml | xargs)"; exit 1; }
	$(PYTEST) $(if $(LESSON),-k $(LESSON))

answers: $(PROVING)
	$(PYTEST) notebooks tests/course/test_answers.py

notebooks: $(PROVING)
	$(BIN)/python -m workbench.build $(if $(CHECK),--check) $(LESSON)

machines: $(PROVING)
	$(BIN)/python -m tests.machines

bench: $(PROVING)
	$(BIN)/python -m tests.benchmarks

venv: $(PROVING)

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "This course needs Python 3.11 or newer, and '$(PYTHON)' is not: make PYTHON=python3.13 …"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "This Python has no venv module. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) --target $(VENV)/.uv --upgrade "$$(grep ^uv== requirements-dev.txt)"
	$(UV) -r requirements.txt --editable . || $(PIP) -r requirements.txt --editable .
	rm -rf $(VENV)/.uv
	$(BIN)/jupyter labextension disable --level=sys_prefix "@jupyterlab/apputils-extension:announcements" >/dev/null 2>&1
	@touch $(READY)

$(PROVING): $(READY) requirements-dev.txt
	$(PIP) --target $(VENV)/.uv --upgrade "$$(grep ^uv== requirements-dev.txt)"
	$(UV) -r requirements-dev.txt || $(PIP) -r requirements-dev.txt
	rm -rf $(VENV)/.uv
	@touch $(PROVING)

COMPILE = $(BIN)/uv pip compile --quiet --universal --upgrade --no-emit-index-url --custom-compile-command "make requirements" pyproject.toml

requirements: $(PROVING)
	$(COMPILE) -o requirements.txt
	$(COMPILE) --extra develop --constraints requirements.txt -o requirements-dev.txt
	cp requirements.txt binder/requirements.txt
