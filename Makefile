# Two commands do everything: `make demo` shows the product, `make test` proves it.
# Both set up their own environment in .venv.
BIN := .venv/bin

.PHONY: demo test check mypy pyright bench soak protos setup setup-dev

demo: setup
	$(BIN)/veilscore demo

test: setup-dev check
	$(BIN)/pytest -m alone
	$(BIN)/pytest -m chaos --numprocesses 2 --maxschedchunk 1
	$(BIN)/pytest -m "not alone and not chaos and not long" --numprocesses 2
	$(BIN)/pytest -m long --numprocesses 2 --dist loadfile --no-loadscope-reorder

check: setup-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(MAKE) --no-print-directory --jobs 2 mypy pyright
	$(BIN)/lint-imports
	cd protos && ../$(BIN)/buf lint
	deploy/protos.sh --check

mypy pyright:
	$(BIN)/$@

bench: setup-dev
	$(BIN)/python -m tests.bench
	$(BIN)/python -m tests.bench.audit_log
	$(BIN)/python -m tests.bench.latency --quick

soak: setup-dev
	$(BIN)/pytest --soak

protos: setup-dev
	deploy/protos.sh

setup:
	@deploy/setup.sh

setup-dev:
	@deploy/setup.sh dev
