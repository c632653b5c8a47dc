# pi64: `make hw` tests a kernel on a board, `make test` tests pi64. Both install what is missing first.
BOARD ?= virtual-rpi3
ARGS ?=

SETUP := bash scripts/setup.sh
BIN := .venv/bin
OFFLINE := $(BIN)/pytest tests_unit -m "not slow" -n auto --dist loadfile

.DEFAULT_GOAL := help
unexport PYTHONDONTWRITEBYTECODE  # pytest rewrites all of labgrid, a plugin, at each start unless it may keep the result
.PHONY: help hw test check bench format setup clean

help:  ## show this
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16
	@echo
	@echo "  BOARD=NAME      a target of lab.yaml; default virtual-rpi3, the other one that needs no cables: virtual-rpi4"
	@echo "  ARGS='...'      more arguments for pytest"

hw:  ## build the kernel, boot it on BOARD, run tests_hw
	@$(SETUP) hw
	$(BIN)/pytest tests_hw --board $(BOARD) $(ARGS)

test:  ## offline tests: no board, no root, no network
	@$(SETUP) test
	$(OFFLINE) $(ARGS)

check:  ## format, lint, types, offline tests
	@$(SETUP) test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(OFFLINE) $(ARGS)

bench:  ## measure: one line a figure, `name figure limit ok|short`
	@$(SETUP) hw
	@status=0; for script in bench/[!_]*.py; do $(BIN)/python $$script || status=1; done; exit $$status

format:  ## put the code into ruff's format
	@$(SETUP) test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

setup:  ## only install what is missing, for `make hw`
	@$(SETUP) hw

clean:  ## remove .venv and tool caches; runs/ and ~/.cache/pi64 stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
