# Every target does all its own set-up (tools/setup.sh): what the system lacks, a virtual environment in .venv, the
# build. The second time everything is in place and the target starts at once.
#
#   make test ARGS="-k softmax"       make test ARGS="-m slow"       make build PYTHON=python3.12

.DEFAULT_GOAL := help
.PHONY: help demo test bench lint format build clean distclean
.NOTPARALLEL:

# Only the packages in .venv count.
unexport PYTHONPATH PYTHONHOME
export PYTHONNOUSERSITE := 1

bin := .venv/bin
cpp_files = $(shell find cpp -name '*.h' -o -name '*.cpp')

help:
	@echo "make demo     train a Transformer to read dates in many languages, and see what it attends to"
	@echo "make test     the tests               ARGS=\"-k softmax\" for some, ARGS=\"-m slow\" for the long ones"
	@echo "make bench    every workload against PyTorch   ARGS=\"--quick\" in two minutes, ARGS=\"attention\" for some"
	@echo "make lint     ruff, mypy and clang-format, changing nothing"
	@echo "make format   put the layout of all files in order"
	@echo "make build    compile and install into .venv"
	@echo "make clean    remove what was built    (make distclean: .venv too)"

demo: build
	@$(bin)/attendo demo $(ARGS)

test: build
	@$(bin)/python -m pytest $(ARGS)

bench:
	@sh tools/setup.sh bench
	@build/bench-venv/bin/python bench/run.py $(ARGS)

build:
	@sh tools/setup.sh build

lint:
	@sh tools/setup.sh tools
	@failed=; \
	$(bin)/ruff check . || failed="$$failed ruff-check"; \
	$(bin)/ruff format --check . || failed="$$failed ruff-format"; \
	$(bin)/mypy || failed="$$failed mypy"; \
	$(bin)/clang-format --dry-run --Werror $(cpp_files) || failed="$$failed clang-format"; \
	if [ -n "$$failed" ]; then echo "lint: not clean:$$failed (make format puts the layout in order)"; exit 1; fi; \
	echo "lint: clean"

format:
	@sh tools/setup.sh tools
	$(bin)/ruff check --fix-only --quiet .
	$(bin)/ruff format .
	$(bin)/clang-format -i $(cpp_files)

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find python tests tools bench -name __pycache__ -type d -exec rm -rf {} +

distclean: clean
	rm -rf .venv
