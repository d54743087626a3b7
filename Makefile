# make serve    from nothing to a server that answers; DATALAKE=/my/photos for your own pictures
# make release  checks that this commit can be released, and writes dist/
# make test-images   builds the CPU image with buildah and proves it (root, Debian)
# make test     lint, types, the rooms' walls, and every test
PYTHON ?= python3.11
# The model that serves already, since the admin API can have switched it; at first the small one.
MODEL ?= $(or $(shell bash indexer/current_model.sh),torchscripts_models/relahash-small-64bits.pt)
MODEL := $(MODEL)
DATALAKE ?= sample_datalake
ARCHIVE := model_store/image-retrieval-v1.0.mar
# Which model the archive holds: another MODEL, another stamp.
ARCHIVED := model_store/.$(subst /,-,$(MODEL))

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: serve test test-images release lock clean
.DELETE_ON_ERROR:

serve: .venv/installed $(ARCHIVE) $(filter sample_datalake,$(DATALAKE))
	@bash indexer/refresh_index.sh "$(DATALAKE)" "$(MODEL)"
	@hashlake keys create first --role admin --unless_any
	@HASHLAKE_DATALAKE="$(DATALAKE)" exec hashlake serve --admin

test: .venv/installed-dev
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	pytest

test-images: .venv/installed-dev
	@bash searcher/test_images.sh

release: .venv/installed-release
	@python -m release

.venv/installed: requirements.lock pyproject.toml hashlake/version.py
	@test -d .venv || $(PYTHON) -m venv .venv
	pip install --quiet -r requirements.lock
	pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

.venv/installed-dev: requirements-dev.lock .venv/installed
	pip install --quiet -r requirements-dev.lock
	@touch $@

.venv/installed-release: requirements-release.lock .venv/installed-dev
	pip install --quiet -r requirements-release.lock
	@touch $@

sample_datalake: .venv/installed
	@test -d $@ || hashlake sample $@

$(ARCHIVE): .venv/installed $(MODEL) $(ARCHIVED) handler/image_retrieval_handler.py handler/model-config.yaml
	@hashlake archive --model_path "$(MODEL)"
	@touch $@

$(ARCHIVED):
	@rm -f model_store/.*.pt
	@touch $@

# The lock files say what is installed. torch loses its build tag: each machine's own index decides CPU or CUDA.
LOCK := pip-compile --quiet --strip-extras --allow-unsafe --no-emit-index-url --no-emit-find-links --no-header \
	--no-annotate --upgrade pyproject.toml
lock: .venv/installed-dev
	$(LOCK) --output-file requirements.lock
	$(LOCK) --extra dev --constraint requirements.lock --output-file requirements-dev.lock
	$(LOCK) --extra release --constraint requirements-dev.lock --output-file requirements-release.lock
	$(LOCK) --extra bench --constraint requirements.lock --output-file requirements-bench.lock
	sed -i 's/^\(torch==[0-9.]*\)+.*/\1/' requirements*.lock
	sed 's/^faiss-cpu==.*/faiss-gpu/' requirements.lock | env -u PIP_FIND_LINKS PIP_CONFIG_FILE=/dev/null pip-compile --quiet \
		--strip-extras --allow-unsafe --no-emit-index-url --no-emit-find-links --no-header --no-annotate --upgrade \
		--output-file requirements-cuda.lock -

clean:
	rm -rf .venv index_store model_store/*.mar sample_datalake database_info.txt gateway_state screenshots
