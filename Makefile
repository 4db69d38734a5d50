# Every target makes the environment it needs first (bootstrap.py); `make` alone lists them.

PYTHON ?= python3
VENV := .venv/bin
MANAGE := $(VENV)/python manage.py
PYTEST := $(VENV)/python -m pytest
ARGS ?=
TESTS ?=

# Where `make check` runs the tests for the second time; the database server needs no more than this user.
CHECK_DATABASE_URL ?= postgres://postgres@127.0.0.1:5432/test
CHECK_REDIS_URL ?= redis://127.0.0.1:6379/5

.DEFAULT_GOAL := help
.PHONY: help hub dev demo run test check lint bench eval lock format screenshots

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

hub:
	@$(PYTHON) bootstrap.py hub

dev:
	@$(PYTHON) bootstrap.py dev

demo: hub  ## watch two sidecars turn tasks into pull requests (ARGS=--once: unattended)
	@exec $(MANAGE) demo $(ARGS)

run: hub  ## the hub for real use, on embedded defaults (ARGS="--bind 0.0.0.0 --port 8000")
	@exec $(MANAGE) run $(ARGS)

test: dev  ## the tests, on SQLite (TESTS=tests/sidecar for a part)
	@$(PYTEST) $(TESTS)

lint: dev  ## form, types, layers, migrations, settings and API schema, without tests
	$(VENV)/ruff format --check .
	$(VENV)/ruff check .
	$(VENV)/mypy agentcom apps sidecar bootstrap.py manage.py tests
	$(VENV)/lint-imports
	$(MANAGE) makemigrations --check --dry-run
	AGENTCOM_BASE_URL=https://hub.example $(MANAGE) check --deploy
	$(MANAGE) spectacular --validate --fail-on-warn --file /dev/null

# Journeys, and attacks on a sidecar, have processes of their own; those of the sidecar need no database. They run beside the
# others and before them in the line for a core: they have more to do with time.
PROCESSES := tests/journeys tests/attacks
SIDECAR := tests/sidecar
APART := $(if $(TESTS),,$(PROCESSES) $(SIDECAR))
ON_SQLITE := env -u DATABASE_URL -u REDIS_URL
ON_POSTGRES := DATABASE_URL=$(CHECK_DATABASE_URL) REDIS_URL=$(CHECK_REDIS_URL)

check: lint  ## everything a change must pass: lint, tests on SQLite, tests on PostgreSQL and Redis
	@said=$$(mktemp -d) && \
	{ $(ON_POSTGRES) nice -n 10 $(PYTEST) --only-database $(TESTS) >$$said/database 2>&1 & database=$$!; \
	$(if $(APART),$(ON_SQLITE) $(PYTEST) -m "not postgres" $(PROCESSES),true) >$$said/processes 2>&1 & processes=$$!; \
	$(if $(APART),$(ON_SQLITE) $(PYTEST) -m "not postgres" $(SIDECAR),true) >$$said/sidecar 2>&1 & sidecar=$$!; \
	$(ON_SQLITE) nice -n 5 $(PYTEST) -m "not postgres" $(TESTS) $(APART:%=--ignore=%); ended=$$?; \
	wait $$sidecar || ended=1; wait $$processes || ended=1; wait $$database || ended=1; \
	printf '\n== the sidecar, which ran beside it\n'; cat $$said/sidecar; \
	printf '\n== with processes of their own, which ran beside it\n'; cat $$said/processes; \
	printf '\n== on PostgreSQL and Redis, which ran beside it\n'; cat $$said/database; rm -rf $$said; \
	exit $$ended; }

bench: dev  ## measure speed on SQLite, and on PostgreSQL + Redis where they answer (docs/bench.md)
	@$(VENV)/python -m tests.bench $(ARGS)

eval: dev  ## tasks in words through everything, and cheats that must be caught (TASKS=a,b MODEL=name; docs/eval.md)
	@$(VENV)/python -m tests.eval $(ARGS)

lock: dev  ## resolve requirements/*.in anew into the locks (needs uv)
	@for part in sidecar hub dev; do \
		uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet \
			requirements/$$part.in -o requirements/$$part.txt || exit 1; \
	done

format: dev  ## put the code in form
	@$(VENV)/ruff check --fix --quiet . ; $(VENV)/ruff format .

screenshots: dev  ## make the pictures of the pages anew (docs/pictures)
	@$(MANAGE) screenshots $(ARGS)
