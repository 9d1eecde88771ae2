# Each line is a command you could type. `make demo` and `make test` do all set-up by themselves.
.PHONY: demo test lint bench clean

export PATH := $(CURDIR)/.venv/bin:$(PATH)
DEMO := snakemake --configfile config/demo.yaml --cores 2

# The locked environment; uv brings the locked versions in under a minute.
.venv/done: pyproject.toml uv.lock
	python3 -m venv .venv
	.venv/bin/python -m pip install --quiet uv==0.13.9
	.venv/bin/uv sync --locked --quiet
	touch $@

demo: .venv/done
	$(DEMO)
	@python -m workflow.scripts.show_tables results

lint: .venv/done
	ruff check
	ruff format --check
	snakefmt --check workflow
	snakemake --lint

test: lint demo
	pytest

bench: .venv/done
	python benchmarks/score_ava.py
	python benchmarks/prepare_films.py
	python benchmarks/load_clips.py

clean:
	rm -rf results data/demo .snakemake
