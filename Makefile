# `make` lists the targets. TESTING=1 runs them with the bundled demo model and pictures.

VENV := .venv
PEERS := benchmarks/.venv
LOCUST := benchmarks/load_test/.venv
PYTHON := $(VENV)/bin/python
UV := $(VENV)/bin/uv
# $@ is the target: messages call the command by what was typed. `exec`: what is sent to make's
# process, such as a service manager's SIGTERM, is passed on to the command and not to a shell.
RUN = exec $(PYTHON) -m scripts.launch "make $@"
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
	@awk -F ':.*## ' '/^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  make %-19s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(INSTALLED): requirements.lock scripts/install.sh
	@sh scripts/install.sh $(VENV)
	@touch $@

##@ Start and search

.PHONY: install
install: $(INSTALLED) ## Create .venv with the pinned dependencies

.PHONY: start
start: $(INSTALLED) ## Index IMAGE_SEARCH_IMAGES_DIR and serve; TESTING=1 for the demo
	@$(RUN) app.main:main

.PHONY: test-api
test-api: $(INSTALLED) ## Search on the running server: make test-api SEARCH="a green tree" LIMIT=4  (KEY=…)
	@$(RUN) scripts.test_api:main

.PHONY: examples
examples: $(INSTALLED) ## Run five searches on the running server: text, mixed, filtered, hybrid  (KEY=…)
	@$(RUN) scripts.examples:main

.PHONY: pull-model
pull-model: $(INSTALLED) ## Download IMAGE_SEARCH_CLIP_MODEL, and IMAGE_SEARCH_CAPTION_MODEL if set, ahead of the first start
	@$(RUN) scripts.pull_model:main

##@ Containers

.PHONY: build
build: ## Build the image: TORCH_BACKEND=cpu (EXTRAS="multilingual places", BASE=…)
	@sh scripts/compose.sh build app

.PHONY: run
run: ## Run server, worker and Postgres in containers: PICTURES=folder (TESTING=1, PORT=8000); prints the first key
	@sh scripts/compose.sh run

.PHONY: down
down: ## Stop and remove the containers; their volumes stay
	@sh scripts/compose.sh down

##@ Pictures

.PHONY: ingest
ingest: $(INSTALLED) ## Index a folder or bucket: make ingest DIR=… | BUCKET=…  (PREFIX=…, DRY_RUN=1, INCLUDE_DELETED=1, REREAD=1)
	@$(RUN) scripts.ingest:main $(SOURCE) $(if $(PRUNE),--sync)

.PHONY: sync
sync: $(INSTALLED) ## The same, and forget pictures that are gone there: make sync DIR=… | BUCKET=…  (FORGET_EMPTY=1)
	@$(RUN) scripts.ingest:sync $(SOURCE)

.PHONY: import-takeout
import-takeout: $(INSTALLED) ## Index a Google Takeout archive of any number of parts: PARTS='~/takeout-*.zip'
	@$(RUN) scripts.commands:commands import takeout $(PARTS) $(if $(DRY_RUN),--dry-run)

.PHONY: export
export: $(INSTALLED) ## Write records, vectors, labels and ratings as Parquet: TO=folder  (FILES=npy, COLLECTION=…, NAMESPACE=…)
	@test -n "$(TO)" || { echo "Say where to: make export TO=~/dataset" >&2; exit 2; }
	@$(RUN) scripts.commands:commands export dataset "$(TO)" $(if $(FILES),--files "$(FILES)") \
		$(if $(NAMESPACE),--namespace "$(NAMESPACE)") $(if $(COLLECTION),--collection "$(COLLECTION)")

.PHONY: import
import: $(INSTALLED) ## Bring what make export wrote into a collection, without the model: FROM=folder  (COLLECTION=…, NAMESPACE=…)
	@test -n "$(FROM)" || { echo "Say where from: make import FROM=~/dataset" >&2; exit 2; }
	@$(RUN) scripts.commands:commands import dataset "$(FROM)" \
		$(if $(NAMESPACE),--namespace "$(NAMESPACE)") $(if $(COLLECTION),--collection "$(COLLECTION)")

.PHONY: export-xmp
export-xmp: $(INSTALLED) ## Write captions, tags and ratings as XMP sidecars: TO=folder | BESIDE=1  (BY_STEM=1)
	@$(RUN) scripts.commands:commands export xmp $(if $(TO),--to "$(TO)") \
		$(if $(BESIDE),--beside) $(if $(BY_STEM),--by-stem)

.PHONY: download-images
download-images: $(INSTALLED) ## Copy a bucket's pictures into IMAGE_SEARCH_IMAGES_DIR: S3_BUCKET, IMAGE_SEARCH_MAX_IMAGES
	@$(RUN) scripts.download_images:main

##@ Keys

.PHONY: create-key
create-key: $(INSTALLED) ## Create an API key: NAMESPACE=… ROLE=reader|writer|admin NAME=… (DAYS=…)
	@$(RUN) scripts.keys:commands create $(if $(NAMESPACE),--namespace "$(NAMESPACE)") \
		$(if $(ROLE),--role "$(ROLE)") $(if $(NAME),--name "$(NAME)") $(if $(DAYS),--days "$(DAYS)")

.PHONY: list-keys
list-keys: $(INSTALLED) ## Show the API keys and when each was last used
	@$(RUN) scripts.keys:commands list

.PHONY: revoke-key
revoke-key: $(INSTALLED) ## Revoke an API key: ID=…
	@$(RUN) scripts.keys:commands revoke $(if $(ID),--id "$(ID)")

##@ Operation

.PHONY: worker
worker: $(INSTALLED) ## Run jobs in a process of its own, beside the server or elsewhere
	@$(RUN) scripts.worker:main

.PHONY: replica
replica: $(INSTALLED) ## Run a hot standby of the embedded Postgres, made at its first start: DIR=folder
	@test -n "$(DIR)" || { echo "Say where: make replica DIR=/mnt/second-disk/postgres" >&2; exit 2; }
	@$(RUN) scripts.replica:main --dir "$(DIR)"

.PHONY: doctor
doctor: $(INSTALLED) ## Look for what does not fit together; FIX=1 mends it; SURE=1 also what is uncertain
	@$(RUN) scripts.doctor:main $(if $(FIX),--fix) $(if $(SURE),--sure)

.PHONY: backup
backup: $(INSTALLED) ## Back up database, uploads and settings while the service runs: TO=folder or s3://bucket/prefix  (KEEP=7, VERIFY=1)
	@test -n "$(TO)" || { echo "Say where to: make backup TO=/mnt/backups" >&2; exit 2; }
	@$(RUN) scripts.backup:commands make "$(TO)" $(if $(KEEP),--keep "$(KEEP)") $(if $(VERIFY),--verify)

.PHONY: restore
restore: $(INSTALLED) ## Fill an empty database and IMAGE_SEARCH_UPLOAD_DIR from a backup: FROM=folder  (BACKUP=name)
	@test -n "$(FROM)" || { echo "Say where from: make restore FROM=/mnt/backups" >&2; exit 2; }
	@$(RUN) scripts.backup:commands restore "$(FROM)" $(if $(BACKUP),--backup "$(BACKUP)")

.PHONY: migrate
migrate: $(INSTALLED) ## Bring the database's schema up to date
	@$(RUN) scripts.migrate:main

.PHONY: upgrade-database
upgrade-database: $(INSTALLED) ## Move the embedded Postgres's data to the installed major version
	@$(RUN) scripts.upgrade_database:main

##@ Models and feedback

.PHONY: reindex
reindex: $(INSTALLED) ## Change the model or index while searches go on: MODEL=… (default: IMAGE_SEARCH_CLIP_MODEL), STORAGE=…, PRECISION=float|int8, REGIONS=off|grid|detector, COLLECTION=…, DRY_RUN=1; ROLLBACK=1
	@$(RUN) scripts.reindex:main $(if $(MODEL),--model "$(MODEL)") \
		$(if $(STORAGE),--storage "$(STORAGE)") \
		$(if $(PRECISION),--precision "$(PRECISION)") $(if $(REGIONS),--regions "$(REGIONS)") \
		$(if $(NAMESPACE),--namespace "$(NAMESPACE)") \
		$(if $(COLLECTION),--collection "$(COLLECTION)") $(if $(KEEP_ACTIVE),--keep-active) \
		$(if $(DRY_RUN),--dry-run) $(if $(ROLLBACK),--rollback)

.PHONY: compare
compare: $(INSTALLED) ## Compare models on your pictures by golden queries: MODELS='ViT-B-16@datacomp_xl_s13b_b90k,…'  (COLLECTION=…, SAMPLE=1000)
	@$(RUN) scripts.compare_models:main $(if $(MODELS),--models "$(MODELS)") \
		$(if $(NAMESPACE),--namespace "$(NAMESPACE)") \
		$(if $(COLLECTION),--collection "$(COLLECTION)") $(if $(SAMPLE),--sample "$(SAMPLE)")

.PHONY: evaluate-feedback
evaluate-feedback: $(INSTALLED) ## Evaluate now whether ratings improve the answers, and switch them on or off
	@$(RUN) scripts.evaluate_feedback:main

##@ Development

.PHONY: check
check: lint test ## lint and test

.PHONY: test
test: $(INSTALLED) ## Run all tests
	$(PYTHON) -m pytest

.PHONY: lint
lint: $(INSTALLED) ## Check format, style, types and layers
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy
	$(VENV)/bin/lint-imports

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
	@$(RUN) scripts.test_clients:main

.PHONY: test-wheel
test-wheel: $(INSTALLED) ## Build the wheel, install it in a new environment, and serve with it
	$(PYTHON) -m pytest -n 0 tests/wheel

.PHONY: test-load
test-load: $(INSTALLED) $(LOCUST)/.installed ## Try the load test on a server of its own
	$(PYTHON) -m pytest -n 0 tests/load_test

.PHONY: test-ray
test-ray: $(INSTALLED) ## Embed on a Ray cluster of this machine, and kill a worker
	$(PYTHON) -m pytest -n 0 tests/ray

.PHONY: test-tracing
test-tracing: $(INSTALLED) ## Trace a request by OpenTelemetry, with a collector of the test's own
	$(PYTHON) -m pytest -n 0 tests/tracing

.PHONY: test-container
test-container: $(INSTALLED) ## Build the image and run it, on a base made here (apt-get install mmdebstrap buildah podman runc catatonit netavark aardvark-dns)
	@$(RUN) scripts.test_container:main

.PHONY: test-crash
test-crash: $(INSTALLED) ## Kill workers 20 times through 2,000 pictures: RUNS=5 in a row
	@CRASH_RUNS=$(or $(RUNS),1) $(PYTHON) -m pytest -n 0 tests/ingest/test_crash.py

.PHONY: test-models
test-models: $(INSTALLED) ## Compare a model of each of open_clip's families with open_clip, at full size: takes an hour
	$(PYTHON) -m pytest -n 0 tests/full_size_models

.PHONY: docs
docs: $(INSTALLED) ## Write .env.example and the tables of settings and routes in docs
	@$(RUN) scripts.generated_docs:main

.PHONY: lock
lock: $(INSTALLED) ## Resolve pyproject.toml into requirements.lock
	$(UV) pip compile pyproject.toml --extra dev --universal --generate-hashes --no-annotate \
		--quiet --output-file requirements.lock
	$(UV) pip compile benchmarks/requirements.in --constraint requirements.lock --universal \
		--generate-hashes --no-annotate --quiet --output-file benchmarks/requirements.lock
	$(UV) pip compile benchmarks/load_test/requirements.in --constraint requirements.lock \
		--universal --generate-hashes --no-annotate --quiet \
		--output-file benchmarks/load_test/requirements.lock

.PHONY: screenshots
screenshots: $(INSTALLED) ## Take the README's two pictures of the page, with Chromium
	@$(RUN) scripts.screenshots:main

.PHONY: benchmark-replicas
benchmark-replicas: $(INSTALLED) ## Count where searches are answered with no, one and two replicas
	@$(RUN) scripts.benchmark_replicas:main

.PHONY: rehearse-processes
rehearse-processes: $(INSTALLED) ## Kill one of three servers behind HAProxy each minute, with sixteen clients: MINUTES=10
	@$(RUN) scripts.rehearse_processes:main $(if $(MINUTES),--minutes "$(MINUTES)")

.PHONY: rehearse-swap
rehearse-swap: $(INSTALLED) ## Change the model of two busy servers, kill one, and look for any fault: PICTURES=5000
	@$(RUN) scripts.rehearse_swap:main $(if $(PICTURES),--pictures "$(PICTURES)")

.PHONY: evaluate
evaluate: $(INSTALLED) ## Print the demo model's figures on the bundled pictures
	@$(RUN) scripts.demo_model.evaluate:main
	@$(RUN) scripts.demo_model.evaluate_gate:main
	@$(RUN) scripts.demo_model.evaluate_no_match:main
	@$(RUN) scripts.demo_model.evaluate_captions:main

.PHONY: simulate-feedback
simulate-feedback: $(INSTALLED) ## Measure what honest, random and hostile raters do to the answers
	@$(RUN) scripts.simulate_feedback:main

.PHONY: slow-sockets
slow-sockets: $(INSTALLED) ## Time the running server's /healthz beside 500 slow sockets
	@$(RUN) scripts.slow_sockets:main

.PHONY: benchmark-decoding
benchmark-decoding: $(INSTALLED) ## The running server's memory beside 32 searches with 50-megapixel pictures
	@$(RUN) scripts.benchmark_decoding:main

.PHONY: benchmark-profiles
benchmark-profiles: $(INSTALLED) ## What ICC profiles cost in decoding, as a ratio for each format
	@$(RUN) scripts.benchmark_profiles:main

.PHONY: benchmark-listing
benchmark-listing: $(INSTALLED) ## How fast a folder is listed, and in how much memory: ENTRIES=1000000 (FLAT=1)
	@$(RUN) scripts.benchmark_listing:main $(if $(ENTRIES),--entries "$(ENTRIES)") $(if $(FLAT),--flat)

$(PEERS)/.installed: benchmarks/requirements.lock scripts/install.sh
	@sh scripts/install.sh $(PEERS) benchmarks/requirements.lock
	@touch $@

.PHONY: benchmark
benchmark: $(INSTALLED) $(PEERS)/.installed ## Measure this beside Chroma and LanceDB into docs: FIGURE=… PHOTOS=… MINUTES=… MILLION=1
	@$(RUN) scripts.benchmark:main $(FIGURE) $(if $(PHOTOS),--photos "$(PHOTOS)") \
		$(if $(MINUTES),--minutes $(MINUTES)) $(if $(MILLION),--million) $(if $(TINY),--tiny)

$(LOCUST)/.installed: benchmarks/load_test/requirements.lock scripts/install.sh
	@sh scripts/install.sh $(LOCUST) benchmarks/load_test/requirements.lock
	@touch $@

.PHONY: load-test
load-test: $(LOCUST)/.installed ## More and more clients on a running server: URL=… CLIENTS='1 4 16' SECONDS=30 COLLECTION=…  (KEY=…)
	@$(LOCUST)/bin/python -m benchmarks.load_test $(if $(URL),--url "$(URL)") \
		$(if $(CLIENTS),--clients $(CLIENTS)) $(if $(SECONDS),--seconds "$(SECONDS)")

.PHONY: benchmark-search
benchmark-search: $(INSTALLED) ## Measure recall and time of filtered searches on 100,000 vectors
	@$(RUN) scripts.benchmark_search:main

.PHONY: benchmark-growth
benchmark-growth: $(INSTALLED) ## Measure loading, searches and filters by codes as a collection grows: SIZES="50000 200000 1000000"
	@$(RUN) scripts.benchmark_growth:main $(if $(SIZES),--sizes "$(SIZES)")

.PHONY: benchmark-labels
benchmark-labels: $(INSTALLED) ## Measure how long labelling 100,000 pictures takes, and searches by labels
	@$(RUN) scripts.benchmark_labels:main

.PHONY: benchmark-categories
benchmark-categories: $(INSTALLED) ## Measure searches within labels of several sizes beside searches of all pictures
	@$(RUN) scripts.benchmark_categories:main

.PHONY: benchmark-standing
benchmark-standing: $(INSTALLED) ## Measure what a new picture costs at 1,000 standing searches
	@$(RUN) scripts.benchmark_standing:main

.PHONY: benchmark-import
benchmark-import: $(INSTALLED) ## Measure how fast a dataset with vectors is imported: PICTURES=20000
	@$(RUN) scripts.benchmark_import:main $(if $(PICTURES),--pictures "$(PICTURES)")

.PHONY: benchmark-texts
benchmark-texts: $(INSTALLED) ## Measure how well words in drawn pictures are read, beside tesseract: PHOTOS=folder
	@$(RUN) scripts.benchmark_texts:main $(if $(PHOTOS),--photos "$(PHOTOS)")

.PHONY: benchmark-videos
benchmark-videos: $(INSTALLED) ## Measure how well scenes of 20 drawn clips are found, and how fast they are read
	@$(RUN) scripts.benchmark_videos:main

.PHONY: benchmark-regions
benchmark-regions: $(INSTALLED) ## Measure how many small things in drawn scenes are found by regions, and what these cost
	@$(RUN) scripts.benchmark_regions:main

.PHONY: evaluate-graph
evaluate-graph: $(INSTALLED) ## Measure what graphs lose after bursts and among near-duplicates
	@$(RUN) scripts.evaluate_graph:main

.PHONY: clean
clean: ## Delete .venv and caches; pictures and databases stay
	rm -rf $(VENV) $(PEERS) $(LOCUST) .clients dist benchmarks/.kept .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage*
	find app benchmarks migrations picture_search scripts tests -name __pycache__ -type d -prune -exec rm -rf {} +
