# `make` lists the targets. TESTING=1 runs them with the bundled demo model and pictures.

VENV := .venv
PEERS := benchmarks/.venv
PYTHON := $(VENV)/bin/python
UV := $(VENV)/bin/uv
IMAGE_SEARCH := $(VENV)/bin/image-search
INSTALLED := $(VENV)/.installed
export SEARCH ?= a green tree
export LIMIT ?= 4
SOURCE = $(if $(DIR),--dir "$(DIR)") $(if $(BUCKET),--bucket "$(BUCKET)") \
	$(if $(PREFIX),--prefix "$(PREFIX)") $(if $(DRY_RUN),--dry-run) \
	$(if $(FORGET_EMPTY),--forget-empty) $(if $(INCLUDE_DELETED),--include-deleted) \
	$(if $(REREAD),--reread)

# Modules are compiled once, whatever the caller's environment says: torch loads in a third of
# the time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(INSTALLED): requirements.lock scripts/install.sh
	@sh scripts/install.sh $(VENV)
	@touch $@

.PHONY: install
install: $(INSTALLED) ## Create .venv with the pinned dependencies

.PHONY: start
start: $(INSTALLED) ## Index IMAGE_SEARCH_IMAGES_DIR and serve; TESTING=1 for the demo
	@$(PYTHON) -m app.main

.PHONY: ingest
ingest: $(INSTALLED) ## Index a folder or bucket: make ingest DIR=… | BUCKET=…  (PREFIX=…, DRY_RUN=1, INCLUDE_DELETED=1, REREAD=1)
	@$(PYTHON) -m scripts.ingest $(SOURCE) $(if $(PRUNE),--sync)

.PHONY: sync
sync: $(INSTALLED) ## The same, and forget pictures that are gone there: make sync DIR=… | BUCKET=…  (FORGET_EMPTY=1)
	@$(PYTHON) -m scripts.ingest $(SOURCE) --sync

.PHONY: import-takeout
import-takeout: $(INSTALLED) ## Index a Google Takeout archive of any number of parts: PARTS='~/takeout-*.zip'
	@$(IMAGE_SEARCH) import takeout $(PARTS) $(if $(DRY_RUN),--dry-run)

.PHONY: export-xmp
export-xmp: $(INSTALLED) ## Write captions, tags and ratings as XMP sidecars: TO=folder | BESIDE=1  (BY_STEM=1)
	@$(IMAGE_SEARCH) export xmp $(if $(TO),--to "$(TO)") \
		$(if $(BESIDE),--beside) $(if $(BY_STEM),--by-stem)

.PHONY: reindex
reindex: $(INSTALLED) ## Change the model or index while searches go on: MODEL=… (default: IMAGE_SEARCH_CLIP_MODEL), STORAGE=…, COLLECTION=…, DRY_RUN=1; ROLLBACK=1
	@$(PYTHON) -m scripts.reindex $(if $(MODEL),--model "$(MODEL)") \
		$(if $(STORAGE),--storage "$(STORAGE)") $(if $(NAMESPACE),--namespace "$(NAMESPACE)") \
		$(if $(COLLECTION),--collection "$(COLLECTION)") $(if $(KEEP_ACTIVE),--keep-active) \
		$(if $(DRY_RUN),--dry-run) $(if $(ROLLBACK),--rollback)

.PHONY: rehearse-swap
rehearse-swap: $(INSTALLED) ## Change the model of two busy servers, kill one, and look for any fault: PICTURES=5000
	@$(PYTHON) -m scripts.rehearse_swap $(if $(PICTURES),--pictures "$(PICTURES)")

.PHONY: compare
compare: $(INSTALLED) ## Compare models on your pictures by golden queries: MODELS='ViT-B-16@datacomp_xl_s13b_b90k,…'  (COLLECTION=…, SAMPLE=1000)
	@$(PYTHON) -m scripts.compare_models --models "$(MODELS)" \
		$(if $(NAMESPACE),--namespace "$(NAMESPACE)") \
		$(if $(COLLECTION),--collection "$(COLLECTION)") $(if $(SAMPLE),--sample "$(SAMPLE)")

.PHONY: worker
worker: $(INSTALLED) ## Run jobs in a process of its own, beside the server or elsewhere
	@$(PYTHON) -m scripts.worker

.PHONY: doctor
doctor: $(INSTALLED) ## Look for what does not fit together; FIX=1 mends it; SURE=1 also what is uncertain
	@$(PYTHON) -m scripts.doctor $(if $(FIX),--fix) $(if $(SURE),--sure)

.PHONY: backup
backup: $(INSTALLED) ## Back up database, uploads and settings while the service runs: TO=folder  (KEEP=7, VERIFY=1)
	@test -n "$(TO)" || { echo "Say where to: make backup TO=/mnt/backups" >&2; exit 2; }
	@$(PYTHON) -m scripts.backup make "$(TO)" $(if $(KEEP),--keep "$(KEEP)") $(if $(VERIFY),--verify)

.PHONY: restore
restore: $(INSTALLED) ## Fill an empty database and IMAGE_SEARCH_UPLOAD_DIR from a backup: FROM=folder  (BACKUP=name)
	@test -n "$(FROM)" || { echo "Say where from: make restore FROM=/mnt/backups" >&2; exit 2; }
	@$(PYTHON) -m scripts.backup restore "$(FROM)" $(if $(BACKUP),--backup "$(BACKUP)")

.PHONY: test-api
test-api: $(INSTALLED) ## Search on the running server: make test-api SEARCH="a green tree" LIMIT=4
	@$(PYTHON) -m scripts.test_api

.PHONY: examples
examples: $(INSTALLED) ## Run five searches on the running server: text, mixed, filtered, hybrid
	@$(PYTHON) -m scripts.examples

.PHONY: download-images
download-images: $(INSTALLED) ## Copy a bucket's pictures into IMAGE_SEARCH_IMAGES_DIR: S3_BUCKET, IMAGE_SEARCH_MAX_IMAGES
	@$(PYTHON) -m scripts.download_images

.PHONY: create-key
create-key: $(INSTALLED) ## Create an API key: NAMESPACE=… ROLE=reader|writer|admin NAME=… (DAYS=…)
	@$(PYTHON) -m scripts.keys create --namespace "$(NAMESPACE)" --role "$(ROLE)" \
		--name "$(NAME)" $(if $(DAYS),--days "$(DAYS)")

.PHONY: list-keys
list-keys: $(INSTALLED) ## Show the API keys and when each was last used
	@$(PYTHON) -m scripts.keys list

.PHONY: revoke-key
revoke-key: $(INSTALLED) ## Revoke an API key: ID=…
	@$(PYTHON) -m scripts.keys revoke --id "$(ID)"

.PHONY: pull-model
pull-model: $(INSTALLED) ## Download IMAGE_SEARCH_CLIP_MODEL / IMAGE_SEARCH_CLIP_PRETRAINED ahead of the first start
	@$(PYTHON) -m scripts.pull_model

.PHONY: migrate
migrate: $(INSTALLED) ## Bring the database's schema up to date
	@$(PYTHON) -m scripts.migrate

.PHONY: upgrade-database
upgrade-database: $(INSTALLED) ## Move the embedded Postgres's data to the installed major version
	@$(PYTHON) -m scripts.upgrade_database

.PHONY: evaluate
evaluate: $(INSTALLED) ## Print the demo model's figures on the bundled pictures
	@$(PYTHON) -m scripts.demo_model.evaluate
	@$(PYTHON) -m scripts.demo_model.evaluate_no_match

.PHONY: evaluate-feedback
evaluate-feedback: $(INSTALLED) ## Evaluate now whether ratings improve the answers, and switch them on or off
	@$(PYTHON) -m scripts.evaluate_feedback

.PHONY: simulate-feedback
simulate-feedback: $(INSTALLED) ## Measure what honest, random and hostile raters do to the answers
	@$(PYTHON) -m scripts.simulate_feedback

.PHONY: slow-sockets
slow-sockets: $(INSTALLED) ## Time the running server's /healthz beside 500 slow sockets
	@$(PYTHON) -m scripts.slow_sockets

.PHONY: benchmark-decoding
benchmark-decoding: $(INSTALLED) ## The running server's memory beside 32 searches with 50-megapixel pictures
	@$(PYTHON) -m scripts.benchmark_decoding

.PHONY: benchmark-profiles
benchmark-profiles: $(INSTALLED) ## What ICC profiles cost in decoding, as a ratio for each format
	@$(PYTHON) -m scripts.benchmark_profiles

.PHONY: benchmark-listing
benchmark-listing: $(INSTALLED) ## How fast a folder is listed, and in how much memory: ENTRIES=1000000 (FLAT=1)
	@$(PYTHON) -m scripts.benchmark_listing $(if $(ENTRIES),--entries "$(ENTRIES)") $(if $(FLAT),--flat)

$(PEERS)/.installed: benchmarks/requirements.lock scripts/install.sh
	@sh scripts/install.sh $(PEERS) benchmarks/requirements.lock
	@touch $@

.PHONY: benchmark
benchmark: $(INSTALLED) $(PEERS)/.installed ## Measure this beside Chroma and LanceDB into docs: FIGURE=… PHOTOS=… MINUTES=… MILLION=1
	@$(PYTHON) -m scripts.benchmark $(FIGURE) $(if $(PHOTOS),--photos "$(PHOTOS)") \
		$(if $(MINUTES),--minutes $(MINUTES)) $(if $(MILLION),--million) $(if $(TINY),--tiny)

.PHONY: benchmark-search
benchmark-search: $(INSTALLED) ## Measure recall and time of filtered searches on 100,000 vectors
	@$(PYTHON) -m scripts.benchmark_search

.PHONY: evaluate-graph
evaluate-graph: $(INSTALLED) ## Measure what graphs lose after bursts and among near-duplicates
	@$(PYTHON) -m scripts.evaluate_graph

.PHONY: test-crash
test-crash: $(INSTALLED) ## Kill workers 20 times through 2,000 pictures: RUNS=5 in a row
	@CRASH_RUNS=$(or $(RUNS),1) $(PYTHON) -m pytest -n 0 tests/ingest/test_crash.py

.PHONY: test-models
test-models: $(INSTALLED) ## Compare a model of each of open_clip's families with open_clip, at full size: takes an hour
	$(PYTHON) -m pytest -n 0 tests/full_size_models

.PHONY: screenshots
screenshots: $(INSTALLED) ## Take the README's two pictures of the page, with Chromium
	@$(PYTHON) -m scripts.screenshots

.PHONY: lock
lock: $(INSTALLED) ## Resolve pyproject.toml into requirements.lock
	$(UV) pip compile pyproject.toml --extra dev --universal --generate-hashes --no-annotate \
		--quiet --output-file requirements.lock
	$(UV) pip compile benchmarks/requirements.in --constraint requirements.lock --universal \
		--generate-hashes --no-annotate --quiet --output-file benchmarks/requirements.lock

.PHONY: lint
lint: $(INSTALLED) ## Check format, style, types and layers
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy
	$(VENV)/bin/lint-imports

.PHONY: test
test: $(INSTALLED) ## Run all tests
	$(PYTHON) -m pytest

.PHONY: coverage
coverage: $(INSTALLED) ## Run all tests and show the lines that none reaches; takes half as long again
	$(PYTHON) -m coverage erase
	$(PYTHON) -m coverage run -m pytest
	$(PYTHON) -m coverage combine --quiet
	$(PYTHON) -m coverage report

.PHONY: test-browser
test-browser: $(INSTALLED) ## Try the page in a real Chromium (apt-get install chromium)
	@$(PYTHON) -m scripts.chromium
	$(PYTHON) -m pytest -n 0 tests/browser

.PHONY: test-clients
test-clients: $(INSTALLED) ## Generate API clients in Python and TypeScript, and use them on a live server
	@$(PYTHON) -m scripts.test_clients

.PHONY: check
check: lint test ## lint and test

.PHONY: clean
clean: ## Delete .venv and caches; pictures and databases stay
	rm -rf $(VENV) $(PEERS) .clients benchmarks/.kept .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage*
	find app benchmarks migrations scripts tests -name __pycache__ -type d -prune -exec rm -rf {} +
