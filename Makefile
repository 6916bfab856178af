# `make demo` and `make test` start from nothing: they make .venv, install what they need, and run.
PYTHON ?= python3
# The versions that are installed: constraints-lowest.txt for the lowest, nothing at all for the newest.
CONSTRAINTS ?= constraints.txt
BIN := .venv/bin
READY := .venv/ready

SPEED := $(if $(PHOTOS),embedding) cold-query warm-query join syncing

.PHONY: demo test unit test-all bench $(SPEED:%=bench-%) bench-near-duplicates docs lint types format clean

demo: $(READY)
	$(BIN)/simsearch demo

test: lint types unit

unit: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n auto --dist worksteal -m "not shared"

# Also the tests that read the larger data sets beside the checkout.
test-all: lint types
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n auto --dist worksteal

# How fast it is, beside other ways to do the same: tables here, plots in data/speed. `make bench-NAME` runs one of them;
# with PHOTOS=~/Pictures also the embedding of photos. benchmarks/README.md tells more, docs/performance.md what came out.
bench: $(SPEED:%=bench-%)

bench-embedding: $(READY)
	$(BIN)/python benchmarks/embedding.py $(PHOTOS)

bench-cold-query bench-warm-query bench-join bench-syncing: bench-%: $(READY)
	$(BIN)/python benchmarks/$(subst -,_,$*).py $(if $(SIZES),--sizes $(SIZES))

# How well copies of your own photos are found, beside other systems.
bench-near-duplicates: $(READY)
	$(BIN)/python benchmarks/near_duplicates.py compare $(PHOTOS)

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(READY)
	$(BIN)/mypy
	$(BIN)/mypy benchmarks/near_duplicates.py benchmarks/embedding.py benchmarks/embedders.py benchmarks/warm_query.py \
		benchmarks/join.py benchmarks/syncing.py benchmarks/serving.py

# The page of everything public, from the docstrings.
docs: $(READY)
	$(BIN)/python docs/make_api.py

format: $(READY)
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache

$(READY): pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check $(CONSTRAINTS:%=-c %) -e '.[dev]'
	touch $@
