# One word for each task: build test fuzz attack bench bench-units lint types stubs coverage floor sanitize debug
# leaks wheel docs demo clean
#
# All of them work in a private environment, $(VENV), made on first use from $(PYTHON). Files in it named
# .has-* remember what has been done, so a second `make` is fast.

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=
BENCH_ARGS ?=

# Quoted where it is used: the path of the tree may have spaces in it.
BIN := $(abspath $(VENV))/bin
RUN := "$(BIN)/python"
PIP := $(RUN) -m pip --disable-pip-version-check --quiet --quiet

NATIVE := $(sort $(shell find csrc -name '*.pyx'))
NATIVE_SOURCES := setup.py $(NATIVE) $(sort $(shell find csrc -name '*.pxd'))
NATIVE_MODULES := $(subst /,.,$(NATIVE:csrc/%.pyx=%))
# The tests that reach native code with hostile input: they run once more under the sanitizers.
NATIVE_TESTS = $(wildcard $(subst /_,/test_,$(NATIVE:csrc/fastpyro/%.pyx=tests/%.py))) $(shell find tests -name 'test_*fuzz*.py' | sort) tests/test_depth.py

HAS_BUILD := $(VENV)/.has-build
HAS_TESTS := $(VENV)/.has-group-test $(VENV)/.has-group-bench

.PHONY: build test fuzz attack bench bench-units lint types stubs coverage floor sanitize debug leaks wheel docs demo clean copy sanitized

build: $(HAS_BUILD)

test: $(HAS_BUILD) $(HAS_TESTS)
	$(RUN) -m pytest $(PYTEST_ARGS)

fuzz: $(HAS_BUILD) $(HAS_TESTS)
	HYPOTHESIS_PROFILE=fuzz $(RUN) -m pytest tests -m hypothesis --timeout=3600 $(PYTEST_ARGS)

# A daemon under attack beside a good client, with exact bounds, into docs/pages/security.md; ten minutes on a still machine.
attack: $(HAS_BUILD) $(HAS_TESTS)
	$(RUN) tests/hostile/run.py $(PYTEST_ARGS)

# Everything beside the C yardsticks and other libraries, into docs/pages/performance.md; ten minutes on a still machine.
bench: $(HAS_BUILD) $(VENV)/.has-extra-bench
	$(RUN) bench/run.py $(BENCH_ARGS)

bench-units: $(HAS_BUILD) $(HAS_TESTS)
	$(RUN) -m pytest bench --benchmark $(PYTEST_ARGS)

demo: $(HAS_BUILD)
	$(RUN) examples/demo.py

lint: $(VENV)/.has-group-lint
	"$(BIN)/ruff" check .
	"$(BIN)/ruff" format --check .
	PATH="$(BIN):$$PATH" cython-lint csrc
	@mkdir -p build/lint
	@for source in $(NATIVE); do \
	    echo "cython -Werror $$source"; \
	    "$(BIN)/cython" -3 -Werror -I csrc "$$source" -o "build/lint/$$(basename "$$source" .pyx).c" 2>build/lint/report; \
	    status=$$?; \
	    cat build/lint/report >&2; \
	    if [ $$status -ne 0 ] || grep -q 'performance hint' build/lint/report; then exit 1; fi; \
	done

# The library with its tests; then programs, each folder by itself and without our configuration, as those of users.
types: $(HAS_BUILD) $(HAS_TESTS) $(VENV)/.has-group-typing
	$(RUN) -m mypy --strict fastpyro tests
	@for folder in examples examples/[a-z]*/ bench; do \
	    echo "mypy --strict $$folder"; \
	    cd "$(CURDIR)/$$folder" && MYPYPATH="$(CURDIR)" $(RUN) -m mypy --config-file= --strict --ignore-missing-imports \
	        --cache-dir "$(CURDIR)/.mypy_cache/programs" $$([ $$folder = examples ] && echo demo.py || echo .) || exit 1; \
	done

stubs: $(HAS_BUILD) $(VENV)/.has-group-typing
	$(RUN) -m mypy.stubtest --allowlist tests/typing/stubtest_allowlist.txt --ignore-unused-allowlist \
	    --ignore-disjoint-bases $(NATIVE_MODULES)

docs: $(VENV)/.has-group-docs
	"$(BIN)/mkdocs" build --strict --config-file docs/mkdocs.yml --site-dir ../site

wheel: $(VENV)/.has-environment
	$(PIP) wheel . --no-deps --wheel-dir dist

# The builds below leave marked objects, so they happen in a copy: the next bench must not measure them.

# `make sanitize leaks` builds once.
sanitized: $(VENV)/.has-group-build $(HAS_TESTS)
	@$(MAKE) --no-print-directory copy COPY=build/sanitize
	cd build/sanitize && FASTPYRO_SANITIZE=1 FASTPYRO_DEBUG=1 $(RUN) setup.py --quiet build_ext --inplace

SANITIZED = cd build/sanitize && FASTPYRO_DEBUG=1 LD_PRELOAD="$$(gcc -print-file-name=libasan.so)" PYTHONMALLOC=malloc \
    PYTHONPATH="$$PWD:$$PWD/tests/support" UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1

sanitize: sanitized
	$(SANITIZED) ASAN_OPTIONS=detect_leaks=0 $(RUN) -m pytest --timeout=600 $(PYTEST_ARGS) $(NATIVE_TESTS)

# What native functions require of who calls them, asserted: the sanitizers do it as well, and this is faster.
debug: $(VENV)/.has-group-build $(HAS_TESTS)
	@$(MAKE) --no-print-directory copy COPY=build/debug
	cd build/debug && FASTPYRO_DEBUG=1 FASTPYRO_OPTIMIZE=1 $(RUN) setup.py --quiet build_ext --inplace
	cd build/debug && FASTPYRO_DEBUG=1 PYTHONPATH="$$PWD:$$PWD/tests/support" $(RUN) -m pytest $(PYTEST_ARGS) $(NATIVE_TESTS)

leaks: sanitized
	$(SANITIZED) ASAN_OPTIONS=detect_leaks=1:leak_check_at_exit=0 $(RUN) tests/leaks.py

coverage: $(VENV)/.has-group-build $(HAS_TESTS) $(VENV)/.has-group-coverage
	@$(MAKE) --no-print-directory copy COPY=build/coverage
	cd build/coverage && FASTPYRO_TRACE=1 $(RUN) setup.py --quiet build_ext --inplace
	cd build/coverage && PYTHONPATH="$$PWD" $(RUN) -m coverage run --rcfile=csrc/coverage.toml -m pytest $(PYTEST_ARGS) tests
	cd build/coverage && $(RUN) -m coverage report --rcfile=csrc/coverage.toml

# The tests, and how many lines of Python they must reach at least (pyproject.toml says); Python 3.12 or newer.
floor: $(HAS_BUILD) $(HAS_TESTS) $(VENV)/.has-group-coverage
	$(RUN) -m coverage run -m pytest $(PYTEST_ARGS)
	$(RUN) -m coverage report

clean:
	rm -rf $(VENV) build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks .coverage
	find fastpyro -name '*.so' -exec rm -f {} +
	find csrc -name '*.c' -exec rm -f {} +
	find fastpyro tests bench examples docs -name __pycache__ -prune -exec rm -rf {} +

# Not a word of its own: the sources without environments, objects and caches, into the folder COPY.
copy:
	@rm -rf "$(COPY)" && mkdir -p "$(COPY)"
	@tar -cf - --exclude=./.git --exclude=./build --exclude=./dist --exclude=./site --exclude='./.venv*' --exclude='*.so' \
	    --exclude=__pycache__ --exclude='*.egg-info' --exclude='./.*_cache' --exclude=./.hypothesis --exclude=./.benchmarks . \
	    | tar -xf - -C "$(COPY)"

$(VENV)/.has-environment:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "fastpyro needs Python 3.11 or newer, and '$(PYTHON)' is not: name one, as in 'make $(MAKECMDGOALS) PYTHON=python3.12'." >&2; \
	    exit 1; }
	@echo "making a private environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@# Dependency groups need pip 25.1; an environment of Python 3.11 begins with an older one.
	@$(PIP) install --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.has-group-%: pyproject.toml $(VENV)/.has-environment
	@echo "installing the tools for: $*"
	@$(PIP) install --group $*
	@touch $@

$(VENV)/.has-extra-bench: pyproject.toml $(HAS_BUILD)
	@echo "installing the libraries to compare with"
	@$(PIP) install --no-build-isolation --editable '.[bench]'
	@touch $@

# The first build also makes the tree importable and installs the command `fastpyro`; later ones only compile.
$(HAS_BUILD): $(NATIVE_SOURCES) $(VENV)/.has-group-build
	@if [ -e $(VENV)/.has-package ]; then \
	    echo "compiling what changed in csrc/" && $(RUN) setup.py --quiet build_ext --inplace; \
	else \
	    echo "compiling csrc/ and making fastpyro importable in $(VENV)" && \
	    $(PIP) install --no-build-isolation --no-deps --editable . && touch $(VENV)/.has-package; \
	fi
	@touch $@
