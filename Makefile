# `make help` lists the targets. Each sets up what it needs.
.PHONY: help setup demo unit test gpu lint docs pictures bench clean

export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Tests share the cores, with two threads each: a thread that waits must sleep, not spin, as in the workflow's jobs.
export OMP_WAIT_POLICY := PASSIVE
# Snakemake's own lock outlives kill -9 and would need --unlock; the kernel releases this one with its holder.
# Bars in a terminal, plain lines elsewhere. Memory that a training step frees is kept for the next one, up to 512 MB:
# page faults took a seventh of the time.
# On two cores two runs overlap, as imports and single steps do not use both; on more, each has two.
CORES = $(shell n=$$(nproc); echo $$((n > 4 ? n : 4)))
DEMO = MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=536870912 \
	flock .venv/demo snakemake --nolock $(if $(MAKE_TERMOUT),--logger rich) --configfile config/demo.yaml --cores $(CORES)

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/done ## install the locked environment into .venv

# uv installs the locked versions in under a minute. Modules are compiled once: where PYTHONDONTWRITEBYTECODE is set, as in
# many containers, each job would compile PyTorch again, for longer than it computes.
.venv/done: pyproject.toml uv.lock
	python3 -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	.venv/bin/uv sync --locked --quiet --system-certs --compile-bytecode
	touch $@

demo: .venv/done ## run the whole workflow on drawn films, into results/demo
	$(DEMO)
	@cat results/demo/ava_table.md results/demo/charades_table.md && echo "report: results/demo/report.html"

unit: .venv/done ## run the fast tests: no demo, no SLURM, nothing long
	pytest -n 2 -m "not long" tests/trainer tests/workflow tests/test_layout.py

lint: .venv/done ## check style: ruff, snakefmt, snakemake --lint
	ruff check
	ruff format --check
	snakefmt --check workflow
	snakemake --lint

# Large pages: the arrays of the published training steps are gigabytes, whose page faults took a third of their time.
test: lint demo ## run the demo, then all tests
	THP_MEM_ALLOC_ENABLE=1 pytest -n 4 --dist loadgroup --no-loadscope-reorder

# `make -o .venv/done gpu` uses the environment as it is, on a machine without network. Speed is measured even if a check
# fails.
gpu: .venv/done ## check the trainer on a GPU and measure it, into results/gpu/summary.txt; skipped without a GPU
	rm -f results/gpu/summary.txt
	pytest -n 4 -rs tests/gpu -k "not speed"; checks=$$?; pytest -n 0 tests/gpu -k speed && exit $$checks

docs: .venv/done ## write the tables of config/README.md and the config's schema from the code
	python -m workflow.lib.settings

pictures: demo ## draw the README's pictures from the demo
	python -m workflow.demo.pictures

bench: .venv/done ## measure the project against reference commands
	python -m benchmarks.score_ava
	python -m benchmarks.bootstrap
	python -m benchmarks.interval_coverage
	python -m benchmarks.prepare_films
	python -m benchmarks.short_side
	python -m benchmarks.load_clips
	python -m benchmarks.train_step
	python -m benchmarks.frozen
	python -m benchmarks.feed_gpu

clean: ## delete the demo's data and results; nothing else
	rm -rf results/demo data/demo
