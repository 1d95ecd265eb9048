# On a fresh machine `make run` and `make test` do all the set-up by themselves.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

# Most of a short process is the compilation of what it imports, where nothing may keep it.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test coverage lint docs links bench soak fuzz clean

## Start the server with the examples on http://localhost:4334/
run: $(INSTALLED)
	$(BIN)/tsctl --home . start --foreground

## Run the tests, in several processes; TESTS=tests/web picks some
test: $(INSTALLED)-dev
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile \
		--no-loadscope-reorder $(TESTS)

## Run the tests and print which lines and branches they leave out
coverage: $(INSTALLED)-dev
	mkdir -p build/coverage
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest --numprocesses auto --dist loadfile \
		--no-loadscope-reorder $(TESTS); failed=$$?; \
	$(BIN)/coverage combine --quiet && $(BIN)/coverage report && exit $$failed

## Check style, types and the direction of imports
lint: $(INSTALLED)-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

## Build the site of the documentation into build/docs/, and check it
docs: $(INSTALLED)-dev
	rm -rf build/docs
	$(BIN)/python -m sphinx --quiet --fail-on-warning -E -d build/doctrees \
		docs build/docs
	$(BIN)/python -m pytest --quiet docs/checks

## Ask the network whether the documentation's links to other sites lead somewhere
links: $(INSTALLED)-dev
	$(BIN)/python -m tests.documentation.links

## Compare the speed with that of other servers
bench: $(INSTALLED)
	$(BIN)/python -m benchmarks

## Keep a server busy, kill its processes, and see that nothing is lost
soak: $(INSTALLED)-dev
	$(BIN)/python -m soak --seconds $(or $(SOAK_SECONDS),1200)

## Send broken requests to all endpoints
fuzz: $(INSTALLED)-dev
	$(BIN)/python -m soak --fuzz --seconds $(or $(FUZZ_SECONDS),300)

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(INSTALLED): requirements.txt examples/requirements.txt setup.py
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --requirement requirements.txt \
		--requirement examples/requirements.txt
	$(BIN)/pip install --quiet --no-deps --editable .
	touch $@

$(INSTALLED)-dev: $(INSTALLED)
	$(BIN)/pip install --quiet --constraint requirements.txt \
		--constraint examples/requirements.txt --editable '.[dev]'
	touch $@
