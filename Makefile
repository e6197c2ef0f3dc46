# make tutorial   install into .venv, then run the quick profile on the built-in phantom into runs/prostate-quick/
# make grid       the runs of workflow/grid.yaml on all cores, ending in runs/grid/report.html
# make test       formatter and linter, then all tests
# make notebooks  execute all lessons and write the outputs into the committed notebooks
# make sync       bring changes of notebooks/*.py into the paired notebooks/*.ipynb
# make student    write notebooks/student/: the lessons with stubs in the place of solutions
# make book      render README, lessons and docs into build/book/, which opens by a double click
# make slides     write build/slides/: a deck per lesson, made from its text and its stored figures
# make clean      remove .venv and caches; runs/ and data/ stay
#
# PYTHON=python3.12   which Python makes .venv
# GRID=...            of make grid: another profile or other keys, as in GRID="--config profile=smoke out=runs/grid-smoke"
# TORCH_INDEX=cpu     PyTorch's wheels without CUDA, a much smaller download; or the URL of another index

PYTHON ?= python3
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
TORCH_URL := $(if $(filter cpu,$(TORCH_INDEX)),https://download.pytorch.org/whl/cpu,$(TORCH_INDEX))

.PHONY: tutorial grid test notebooks sync student book slides clean

tutorial: $(VENV)/installed
	$(BIN)/python -m advconf_lite run --data phantom:prostate --profile quick --out runs/prostate-quick

# Stopped at any moment, the same command goes on.
grid: $(VENV)/workflow
	@$(BIN)/python -c 'import snakemake' 2>/dev/null || { echo "make grid needs Python 3.11 or newer: make clean, then make grid PYTHON=..."; exit 1; }
	$(BIN)/python -m snakemake --profile workflow/profiles/local $(GRID)

# One thread per worker: two workers on two cores are slower when each starts two threads.
test: $(VENV)/workflow
	@$(BIN)/ruff format --check . || { echo "run $(BIN)/ruff format ."; exit 1; }
	@$(BIN)/ruff check --quiet .
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -rs -n 2 --dist loadscope

notebooks: $(VENV)/installed
	$(BIN)/python -m advconf_lite.course.notebooks

sync: $(VENV)/installed
	$(BIN)/python -m jupytext --quiet --to notebook --update notebooks/*.py

student: $(VENV)/installed
	$(BIN)/python -m advconf_lite.course.stubs

book: $(VENV)/installed
	$(BIN)/python -m sphinx -q -b html -c docs/book . build/book
	@echo "open build/book/index.html"

slides: $(VENV)/installed
	$(BIN)/python -m advconf_lite slides --out build/slides

# The stamp is written last, so an installation that was interrupted is taken up again.
$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || { \
		echo "Python 3.10 to 3.13 is needed, and $(PYTHON) is not; name one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) lacks its venv module; install it (Debian, Ubuntu: apt install python3-venv) or name another PYTHON=..."; exit 1; }
	@echo "installing into $(VENV), once; PyTorch is a large download"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -e '.[data,lab,book,test]' -c constraints.txt $(if $(TORCH_URL),--extra-index-url $(TORCH_URL))
	@touch $@

# Snakemake and what it brings, which only the grid and its tests need; nothing on Python 3.10.
$(VENV)/workflow: $(VENV)/installed
	$(BIN)/python -m pip install --quiet -e '.[workflow]' -c constraints.txt $(if $(TORCH_URL),--extra-index-url $(TORCH_URL))
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache
	find advconf_lite data_download tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
