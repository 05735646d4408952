# `make demo` and `make test` do all set-up themselves; a second run finds it done.
PYTHON ?= python3
# Linux without a GPU: torch's own CPU index makes a smaller install, `make demo TORCH_ARGS="--index-url ..."`.
TORCH_ARGS ?=
PYTEST_ARGS ?= -n auto

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test lint docs clean

demo: build/digits/manifest.json
	$(BIN)/snncc simulate build/digits --input examples/digits/test.npz --backend lava --verify

build/digits/manifest.json: $(INSTALLED) $(shell find snncc -name '*.py' -o -name '*.toml') \
		$(wildcard examples/digits/*.pth.tar examples/digits/*.npz)
	$(BIN)/snncc compile examples/digits/spikingformer.pth.tar --target loihi2 \
		--data examples/digits/calibration.npz -o build/digits

test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest $(PYTEST_ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(INSTALLED)
	$(BIN)/mkdocs build --strict --quiet

# Torch comes first, pinned: whatever depends on it would else choose a build. lava-nc and lava-dl declare Python
# <3.11 and older packages than they need, so they come last and alone; `dev` holds what they need in fact. The
# same goes for spikingjelly, which asks for torchvision and torchaudio, and for Python 3.11.
$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install $(TORCH_ARGS) "$$(grep '^torch==' constraints.txt)"
	$(BIN)/pip install -c constraints.txt -e '.[dev]'
	$(BIN)/pip install --no-deps --ignore-requires-python $$(grep '^lava-[a-z]*==' constraints.txt)
	$(BIN)/pip install --no-deps "$$(grep '^spikingjelly==' constraints.txt)"
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find snncc tests examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
