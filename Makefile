# What a newcomer types: make demo, make test. Both set up .venv first.
PYTHON ?= python3.11
WHEEL_DIR ?= dist
DIST_DIR ?= dist
VENV := .venv/bin
SOURCES := CMakeLists.txt pyproject.toml setup.py constraints.txt scripts/fetch_package.sh \
           $(wildcard include/* src/* wrapping/*)

# Every pip below, also that of an isolated build, installs the pinned versions.
export PIP_CONSTRAINT := constraints.txt

# setuptools keeps what it once built: without this, wheels would hold modules that are long gone.
FORGET := rm -rf build/lib.*

.PHONY: setup demo test test-oldest browser-test docs lint wheel dist check-dist check-extras check-module clean

setup: .venv/.installed

# Python runs from the checkout (PYTHONPATH); installing the package brings the compiled module.
.venv/.installed: $(SOURCES)
	@start=$$(date +%s) && \
	test -x $(VENV)/python || $(PYTHON) -m venv .venv && \
	$(FORGET) && $(VENV)/python -m pip install '.[dev]' && \
	touch $@ && \
	echo "make setup: $$(($$(date +%s) - start)) s"

demo: setup
	@start=$$(date +%s) && PYTHONPATH=. $(VENV)/itk-nephi demo -o demo && echo "make demo: $$(($$(date +%s) - start)) s"

test: setup
	@start=$$(date +%s) && PYTHONPATH=. $(VENV)/python -m pytest --numprocesses auto --dist loadfile && echo "make test: $$(($$(date +%s) - start)) s"

# The lower bounds of the dependencies are true.
test-oldest: setup
	PYTHON=$(PYTHON) scripts/test_oldest.sh

# The report in headless Chromium, which is fetched from npm first (130 MB, no system libraries).
browser-test: setup build/chromium/chromium
	PYTHONPATH=. $(VENV)/python -m pytest test/visualization/test_browser.py

build/chromium/chromium:
	PYTHON=$(PYTHON) scripts/fetch_chromium.sh build/chromium

# The site; its notebooks are run again where they or the versions changed.
docs: setup
	PYTHONPATH=$(CURDIR) OMP_NUM_THREADS=1 $(VENV)/python -m sphinx -W --keep-going -q docs build/docs/html

lint: setup
	$(VENV)/ruff format --check .
	$(VENV)/ruff check .
	$(VENV)/mypy
	$(VENV)/lint-imports --no-logo
	$(VENV)/clang-format --dry-run --Werror include/* src/*.h src/*.cxx wrapping/*.h wrapping/*.hxx wrapping/*.cxx test/cpp/*.h test/cpp/*.cxx

wheel:
	$(FORGET)
	$(PYTHON) -m pip wheel --no-deps --wheel-dir $(WHEEL_DIR) .

# The sdist, and the wheel built from it.
dist: setup
	$(VENV)/python -m build --outdir $(DIST_DIR)

check-dist: setup
	PYTHON=$(PYTHON) scripts/check_dist.sh

# The base install, in an environment of its own.
check-extras: setup
	PYTHON=$(PYTHON) scripts/check_extras.sh

# The C++ classes as an ITK module, against an installed ITK, with gcc and clang.
check-module:
	scripts/check_module.sh

clean:
	rm -rf .venv build dist demo *.egg-info
