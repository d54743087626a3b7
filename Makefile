# make serve    from nothing to a server that answers; DATALAKE=/my/photos for your own pictures
# make release  checks that this commit can be released, and writes dist/
# make test-images   builds the CPU image with buildah and proves it (root, Debian)
# make test     lint, types, the rooms' walls, and every test
# make check    the same in a minute or so: without the files in tests/slow.txt
# make docs     the documentation as a site, in docs/_site
# make soak     what may go wrong, thousands of times, and a table of the outcomes: for hours
PYTHON ?= python3.11
# The model that serves already, since the admin API can have switched it; at first the general one.
MODEL ?= $(or $(shell .venv/bin/python embedding/model_files.py 2>/dev/null),torchscripts_models/relahash-general-64bits.pt)
MODEL := $(MODEL)
DATALAKE ?= sample_datalake
ARCHIVE := model_store/image-retrieval-v1.0.mar
# Which model the archive holds: another MODEL, another stamp.
ARCHIVED := model_store/.$(subst /,-,$(MODEL))

# A worker a core, of one thread each; a worker takes whole files.
# nproc would obey OMP_NUM_THREADS.
PYTEST := OMP_NUM_THREADS=1 pytest -n $(shell env -u OMP_NUM_THREADS nproc) --dist loadfile --no-loadscope-reorder

SHELL := bash

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Empty, whatever the environment says: every process that a test starts would compile our modules anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: serve test check pytest fast soak docs style test-images release lock clean
.DELETE_ON_ERROR:

serve: .venv/installed $(ARCHIVE) $(filter sample_datalake,$(DATALAKE))
	@echo "indexing $(DATALAKE), by $(MODEL)"
	@hashlake refresh --model_path "$(MODEL)" --database database_info.txt -- "$(DATALAKE)"
	@key=$$(mktemp) && hashlake keys create first --role admin --unless_any > "$$key" 2> >(grep ^Error >&2) && \
		HASHLAKE_FIRST_KEY_FILE="$$key" HASHLAKE_DATALAKE="$(DATALAKE)" exec hashlake serve --admin

test: .venv/installed-dev
	@$(MAKE) --no-print-directory --jobs 2 style pytest

check: .venv/installed-dev
	@$(MAKE) --no-print-directory --jobs 2 style fast

fast: .venv/installed-dev
	$(PYTEST) --fast

pytest: .venv/installed-dev
	$(PYTEST)

soak: .venv/installed-dev
	$(PYTEST) -vv --soak tests/reliability

style: .venv/installed-dev
	ruff check .
	ruff format --check .
	mypy
	lint-imports

docs: .venv/installed-dev
	sphinx-build --quiet --fail-on-warning --keep-going -c docs . docs/_site
	@echo "docs/_site/index.html"

test-images: .venv/installed-dev
	@bash searcher/test_images.sh

release: .venv/installed-release
	@python -m release

# Python compiles what is imported when it is: a small part of what pip would compile, on one core, in half a minute.
INSTALL := pip install --quiet --no-compile
# The same, with a count of the packages, which pip collects, takes from a folder, or finds installed: for the first
# time, which takes minutes.
COUNTED = set -o pipefail; pip install --no-compile --progress-bar off -r $(1) | awk -v all="$$(grep -c == $(1))" \
	'/^(Collecting|Processing|Requirement already satisfied).* \(from -r /{printf "\r  %d of %d packages", ++n, all; fflush()} END{if (n) print ""}'

.venv/installed: requirements.lock pyproject.toml hashlake/version.py
	@test -d .venv || $(PYTHON) -m venv .venv
	@echo "installing what hashlake needs into .venv: some minutes the first time"
	@$(call COUNTED,requirements.lock)
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

.venv/installed-dev: requirements-dev.lock .venv/installed
	$(INSTALL) -r requirements-dev.lock
	@touch $@

.venv/installed-release: requirements-release.lock .venv/installed-dev
	$(INSTALL) -r requirements-release.lock
	@touch $@

sample_datalake: .venv/installed
	@test -d $@ || { echo "drawing a sample datalake"; hashlake sample $@; }

$(ARCHIVE): .venv/installed $(MODEL) $(ARCHIVED) handler/image_retrieval_handler.py handler/model-config.yaml
	@echo "packing the model for the server"
	@hashlake archive --model_path "$(MODEL)" >/dev/null
	@touch $@

$(ARCHIVED):
	@rm -f model_store/.*.pt
	@touch $@

# The lock files say what is installed. torch loses its build tag: each machine's own index decides CPU or CUDA.
LOCK := pip-compile --quiet --strip-extras --unsafe-package hashlake --no-emit-index-url --no-emit-find-links --no-header \
	--no-annotate --upgrade pyproject.toml
lock: .venv/installed-dev
	$(LOCK) --extra serve --extra sources --output-file requirements.lock
	$(LOCK) --extra dev --constraint requirements.lock --output-file requirements-dev.lock
	$(LOCK) --extra release --constraint requirements-dev.lock --output-file requirements-release.lock
	$(LOCK) --extra bench --constraint requirements.lock --output-file requirements-bench.lock
	sed -i 's/^\(torch==[0-9.]*\)+.*/\1/' requirements*.lock
	env -u PIP_FIND_LINKS PIP_CONFIG_FILE=/dev/null $(LOCK) --extra serve --extra sources --constraint requirements.lock \
		--output-file requirements-cuda.lock

clean:
	rm -rf .venv index_store model_store/*.mar sample_datalake database_info.txt gateway_state screenshots docs/_site
