# make test ARGS="-k name" JOBS=3     pytest's arguments, and processes per pair (they often wait)
# make demo CHECK=1                   tries the demo and ends
DEMO_PYTHON ?= .venv/demo/bin/python
BENCH_PYTHON ?= .venv/py313-django61/bin/python

.PHONY: demo test lint bench bench-requests bench-databases bench-fleet clean

demo:
	@scripts/environment demo
	@$(DEMO_PYTHON) demo/manage.py campus $(if $(CHECK),--check)

test:
	@JOBS=$(or $(JOBS),3) scripts/test $(ARGS)

lint:
	@scripts/lint

# Both, also where the first is over a limit.
bench:
	@scripts/environment py313-django61
	@status=0; for part in requests databases; do \
		$(BENCH_PYTHON) benchmarks/$$part/run.py $(ARGS) || status=1; \
	done; exit $$status

bench-requests bench-databases bench-fleet: bench-%:
	@scripts/environment py313-django61
	@$(BENCH_PYTHON) benchmarks/$*/run.py $(ARGS)

clean:
	rm -rf build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests demo benchmarks -name __pycache__ -prune -exec rm -rf {} +
