# `make run` starts everything, on port 8000 or `make run PORT=8001`; `make test` proves it. Needs Python 3.11 or
# newer and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# What the browser tests need is fetched only where there is a Chromium (and an npm) to use it with.
CHROMIUM ?= $(shell command -v chromium-headless-shell || command -v chromium || command -v chromium-browser || command -v google-chrome)
AXE := .cache/axe/node_modules/.package-lock.json
BROWSER := $(if $(CHROMIUM),$(VENV)/.installed-browser $(if $(shell command -v npm),$(AXE)))

# Each of many processes would compile all modules, where the environment forbids to keep what they compile.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test coverage browser screenshots bench soak lint lint-python lint-types lint-imports lint-templates \
	lint-migrations lint-translations lint-vendored lint-deploy hooks format lock messages clean

run: $(VENV)/.installed
	$(BIN)/python manage.py quickstart $(if $(PORT),--port $(PORT))

test: $(VENV)/.installed-dev $(BROWSER)
	$(BIN)/python -m tests.run

coverage: $(VENV)/.installed-dev $(BROWSER)
	COVERAGE=1 $(BIN)/python -m tests.run

browser: $(VENV)/.installed-dev $(BROWSER)
	$(BIN)/python -m tests.browser

screenshots: $(VENV)/.installed-dev $(BROWSER)
	$(BIN)/python -m tests.browser.screenshots

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks

soak: $(VENV)/.installed-dev $(BROWSER)
	SOAK=1 $(BIN)/python -m tests.run
	$(BIN)/python -m tests.mutations
	$(BIN)/python -m tests.source_drill
	$(BIN)/python -m tests.source_drill --kill
	$(BIN)/python -m tools.prometheus_drill
	$(BIN)/python -m tools.nginx_drill
	$(BIN)/python -m tools.upgrade_drill
	$(BIN)/python -m tools.doctor_drill
	$(BIN)/python -m tools.operations_drill
	$(BIN)/python -m tools.chaos --database sqlite --seconds 600
	$(BIN)/python -m tools.chaos --database postgresql --seconds 600
	SOAK_EXAMPLES=2000 DATABASE_URL=sqlite:///.cache/soak.sqlite3 $(BIN)/python -m pytest tests/lifecycle/test_state_machine.py
	SOAK_EXAMPLES=50 DATABASE_URL=sqlite:///.cache/soak.sqlite3 $(BIN)/python -m pytest tests/quotes/test_known_bars.py
	SOAK_EXAMPLES=200 DATABASE_URL=sqlite:///.cache/soak.sqlite3 $(BIN)/python -m pytest tests/api/test_openapi.py -k fuzzed
	FUZZ_REQUESTS=12000 DATABASE_URL=sqlite:///.cache/soak.sqlite3 $(BIN)/python -m pytest tests/security/test_odd_requests.py

# Each check is a target of its own, so that .pre-commit-config.yaml runs the very same commands.
lint: lint-python lint-types lint-imports lint-templates lint-migrations lint-translations lint-vendored lint-deploy

lint-python: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

lint-types: $(VENV)/.installed-dev
	$(BIN)/mypy tasks_app collector_site

lint-imports: $(VENV)/.installed-dev
	$(BIN)/lint-imports

lint-templates: $(VENV)/.installed-dev
	$(BIN)/djlint --lint --quiet templates
	$(BIN)/djlint --check --quiet templates

lint-migrations: $(VENV)/.installed-dev
	$(BIN)/python manage.py makemigrations --check --dry-run

lint-translations: $(VENV)/.installed-dev
	$(BIN)/python -m tools.translations

lint-vendored: $(VENV)/.installed-dev
	$(BIN)/python -m tools.vendored_files

lint-deploy: $(VENV)/.installed-dev
	DJANGO_DEBUG=off DJANGO_ALLOWED_HOSTS=example.org \
	DJANGO_SECRET_KEY="$$($(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(60))')" \
		$(BIN)/python manage.py check --deploy --fail-level WARNING

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	-$(BIN)/djlint --reformat --quiet templates

hooks: $(VENV)/.installed-dev
	$(BIN)/pre-commit install

lock: $(VENV)/.installed-dev
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 requirements.in -o requirements.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 requirements-akshare.in -o requirements-akshare.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 requirements-baostock.in -o requirements-baostock.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 requirements-tushare.in -o requirements-tushare.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 requirements-yfinance.in -o requirements-yfinance.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 requirements-tiingo.in -o requirements-tiingo.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 requirements-dev.in -o requirements-dev.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 requirements-browser.in -o requirements-browser.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 requirements-bench.in -o requirements-bench.txt

messages: $(VENV)/.installed-dev
	$(BIN)/python -m tools.translations --update

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.txt | $(VENV)/bin/python
	@echo "Installing packages (about 120 MB to download): half a minute to several minutes …"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/.installed-dev: requirements-dev.txt requirements.txt | $(VENV)/bin/python
	@echo "Installing packages, with those of the tests (more than 120 MB to download) …"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@ $(VENV)/.installed

$(VENV)/.installed-browser: requirements-browser.txt | $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $< && touch $@ \
		|| echo "The browser tests will be skipped: no playwright for this machine."

$(VENV)/.installed-bench: requirements-bench.txt | $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

$(AXE): tests/browser/package-lock.json
	mkdir -p .cache/axe && cp tests/browser/package.json $< .cache/axe/
	cd .cache/axe && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error \
		|| echo "The tests with axe-core will be skipped: npm could not fetch it."

clean:
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache staticfiles
