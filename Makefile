# make up | test | test-all | docs | demo | gallery | comparison | bench | crosscheck | lint | lock | clean        PYTHON=python3.12 make up   picks another Python
SHELL := /bin/bash -o pipefail
PYTHON ?= python3
# `make CONSTRAINTS=` installs the newest versions that pyproject.toml admits
CONSTRAINTS ?= constraints.txt
# `make up TORCH=cpu` installs PyTorch's build of this name (cpu, cu130, ...) in place of PyPI's, which on Linux has CUDA
TORCH ?=
# Paths are relative to this folder, where make runs: those of targets cannot have spaces
VENV := .venv
BIN := $(VENV)/bin
INPUTS := pyproject.toml $(wildcard constraints.txt)
CONSTRAINT = $(if $(wildcard $(CONSTRAINTS)),$(if $(CONSTRAINTS),--constraint $(CONSTRAINTS)))

.PHONY: up test test-all docs demo gallery comparison bench crosscheck lint lock clean backup restore

up: $(VENV)/.installed-launcher
	@exec $(BIN)/python -P -m densitylab up --with-parent

test: lint
	$(call pytest,-m "not slow")

test-all: lint
	$(call pytest)

# Two processes with one thread each for tests that share nothing, in the order of the files, so that no long file of few
# tests is left for the end; afterwards, alone, those that start whole systems
define pytest
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --ignore tests/end_to_end \
	  --ignore tests/deployment $(1) $(ARGS)
	$(BIN)/python -m pytest tests/end_to_end tests/deployment $(1) $(ARGS)
endef

# The documentation as a site, at http://127.0.0.1:8002
docs: $(VENV)/.installed-dev
	@NO_MKDOCS_2_WARNING=1 exec $(BIN)/python -m mkdocs serve --dev-addr 127.0.0.1:8002

# Needs a running system (make up); DENSITYLAB_API_URL names one elsewhere
demo: $(VENV)/.installed-launcher
	@exec $(BIN)/python -P -m densitylab demo

# The six pictures of docs/gallery.md; needs a running system and some minutes
gallery: $(VENV)/.installed-dev
	@exec $(BIN)/python -m benchmarks.gallery --out docs $(ARGS)

# Every method at the λ of its search, three networks, five seeds; needs a running system and some hours of two cores
comparison: $(VENV)/.installed-dev
	@exec $(BIN)/python -m benchmarks.comparison $(ARGS)

# Seconds per step of every regularizer (ARGS), of loading, and of both memory formats; needs an idle machine and some
# minutes
bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks.steps $(ARGS)
	$(BIN)/python -m benchmarks.loading
	$(BIN)/python -m benchmarks.memory_format

# Compare our metrics with other packages, in an environment on top of the usual one; writes docs/crosschecks.md
CROSSCHECK := .venv-crosscheck
crosscheck: $(CROSSCHECK)/.installed
	$(CROSSCHECK)/bin/python -m benchmarks.crosschecks

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m mypy

# The database and all files in one file, and back into an empty system: make backup FILE=everything.tar
backup restore: $(VENV)/.installed-launcher
	@test -n "$(FILE)" || { echo "Name a file: make $@ FILE=everything.tar" >&2; exit 1; }
	@exec $(BIN)/python -P -m densitylab $@ "$(FILE)"

# Names and versions of what is installed now, less the project itself and the builds' local suffixes (+cpu); and, with
# the hashes of all their files, those that a system needs, on every Python and platform
lock: $(VENV)/.installed-dev
	@{ echo "# Versions that were tested together (Python 3.11, Linux x86-64); refreshed by: make lock"; \
	  $(BIN)/python -m pip list --format=freeze --exclude-editable --exclude pip --exclude setuptools --exclude wheel \
	  | sed -E 's/\+[A-Za-z0-9.]+$$//' | LC_ALL=C sort -f; } > constraints.new && mv constraints.new constraints.txt
	@$(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  --constraint constraints.txt --extra all --extra s3 --extra login --extra tracing \
	  --output-file requirements.new pyproject.toml
	@{ echo "# What a system needs, with hashes (docs/install.md); refreshed by: make lock"; cat requirements.new; } \
	  > requirements.txt && rm requirements.new
	@touch $(VENV)/.installed-*
	@echo "constraints.txt: $$(grep -c == constraints.txt) packages; requirements.txt: $$(grep -c == requirements.txt)"

clean:
	rm -rf .pytest_cache .ruff_cache .mypy_cache .hypothesis .schemathesis build test-results
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# uv, where it is there, is faster; where it finds no index, pip may: it does not read pip's settings
$(VENV)/.installed-%: $(INPUTS) $(if $(TORCH),$(VENV)/.torch-$(TORCH)) | $(BIN)/python
	@echo "Installing; the first time takes several minutes ..."
	@if uv=$$(command -v uv || command -v $(BIN)/uv) && $$uv pip install --python $(BIN)/python --editable '.[$*]' $(CONSTRAINT); then :; \
	else $(BIN)/python -m pip install --disable-pip-version-check --editable '.[$*]' $(CONSTRAINT) \
	  | sed -u '/already satisfied/d'; fi
	@touch $@

# uv knows where PyTorch's builds are; pip then finds PyTorch installed
$(VENV)/.torch-%: | $(BIN)/python
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet $(CONSTRAINT) uv
	@$(BIN)/python -m uv pip install --python $(BIN)/python --torch-backend $* \
	  --reinstall-package torch --reinstall-package torchvision $(CONSTRAINT) torch torchvision
	@rm -f $(VENV)/.torch-* && touch $@
.PRECIOUS: $(VENV)/.torch-%  # make would delete it, as a file in between

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "DensityLab needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try PYTHON=python3.12 make up" >&2; exit 1; }
	@echo "Installs into $(VENV): $(if $(TORCH),PyTorch's build $(TORCH) and what else is needed.,about 3 GB to download \
	(nearly all of it PyTorch with CUDA), 6.5 GB on disk.)"
	@echo "Free on this disk: $$(df -Ph . | awk 'NR == 2 {print $$4}')."
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "No virtual environment: on Debian, apt-get install python3-venv" >&2; exit 1; }

# torchattacks pins an old requests, so the versions of the two environments differ; torch is that of the usual one
$(CROSSCHECK)/.installed: benchmarks/crosschecks/requirements.txt $(VENV)/.installed-dev
	@test -x $(CROSSCHECK)/bin/python || $(BIN)/python -m venv --without-pip $(CROSSCHECK)
	@$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
	  > "$$($(CROSSCHECK)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/usual.pth"
	$(CROSSCHECK)/bin/python -m pip install --disable-pip-version-check --quiet -r $<
	@touch $@
