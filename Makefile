# Each line is a command you could type. `make demo` and `make test` do all set-up by themselves.
.PHONY: demo test lint bench clean

export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Runs and tests share the cores, with two threads each: a thread that waits must sleep, not spin.
export OMP_WAIT_POLICY := PASSIVE
# Snakemake's own lock outlives kill -9 and would ask for --unlock; the kernel's ends with its holder.
# Bars in a terminal, plain lines elsewhere. Memory that a training step frees stays for the next one, up to 512 MB: page
# faults took a seventh of the time.
DEMO = MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=536870912 \
	flock .venv/demo snakemake --nolock $(if $(MAKE_TERMOUT),--logger rich) --configfile config/demo.yaml --cores 4

# The locked environment; uv brings the locked versions in under a minute. Compiled once: where PYTHONDONTWRITEBYTECODE is
# set, as in many containers, each job would compile PyTorch anew, for longer than it computes.
.venv/done: pyproject.toml uv.lock
	python3 -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	.venv/bin/uv sync --locked --quiet --system-certs --compile-bytecode
	touch $@

demo: .venv/done
	$(DEMO)
	@cat results/ava_table.md results/charades_table.md && echo "report: results/report.html"

lint: .venv/done
	ruff check
	ruff format --check
	snakefmt --check workflow
	snakemake --lint

# Large pages: the arrays of the published training steps are gigabytes, whose page faults took a third of their time.
test: lint demo
	THP_MEM_ALLOC_ENABLE=1 pytest -n 3 --dist loadgroup --no-loadscope-reorder

bench: .venv/done
	python -m benchmarks.score_ava
	python -m benchmarks.prepare_films
	python -m benchmarks.short_side
	python -m benchmarks.load_clips

clean:
	@! grep -rls --include=config.yaml "device: cuda" results || ! echo "error: these took GPU hours; delete them yourself"
	rm -rf results data/demo
