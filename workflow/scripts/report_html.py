"""Write one page that needs no network: tables, figures, examples, cost, differences from the published recipe."""

from datetime import datetime
from pathlib import Path

import yaml

from trainer.run_files import DamagedFile, read_json
from trainer.utils.environment import environment
from trainer.utils.files import atomic_write
from workflow.lib.changed_settings import changed_settings
from workflow.lib.config_files import find_files, read_file
from workflow.lib.report import comparisons
from workflow.lib.report.examples import best_run_examples
from workflow.lib.report.failures import find_failures
from workflow.lib.report.page import inline_svg, render
from workflow.lib.report.results import Results, read_all
from workflow.lib.report.step_costs import step_costs
from workflow.lib.report.tables import side_by_side_text_tables, text_table
from workflow.lib.rule_script import rule_script
from workflow.lib.training_jobs import read_jobs

# Okabe and Ito's palette, the colors on which black digits can be read.
BOX_COLORS = ["#56B4E9", "#E69F00", "#F0E442", "#009E73", "#CC79A7"]
DATE = "%Y-%m-%d %H:%M"


def report(
    template, datasets: list[Results], figures, benchmarks, frames, config, published, method_rows, partial=False
) -> str:
    """Return the page as HTML.

    ``template``: path; ``figures``: title and caption by SVG file; ``benchmarks``: folder of benchmark files;
    ``frames``: folder with the records of extracted films; ``config``: of the workflow; ``published``: settings in the
    same shape; ``method_rows``: the selected rows of the methods table, {method: row}; ``partial``: whether jobs may be
    running.
    """
    groups = [group for results in datasets for group in results.comparable()]
    finished = [group for group in groups if len(group.runs)]
    jobs = jobs_of_runs(datasets)
    return render(
        template,
        duration=duration,
        names=" and ".join(results.title for results in datasets),
        facts=facts(datasets, jobs, frames),
        pending=sum(results.pending for results in datasets),
        wanted=int(sum(results.methods.wanted.sum() for results in datasets)),
        tables=[
            *(side_by_side_text_tables(datasets) if len(datasets) > 1 else []),
            *map(text_table, groups),
        ],
        comparisons=[
            {"statement": comparisons.statement(group), "table": comparisons.text_table(group)} for group in groups
        ],
        figures=[{**figure, "svg": inline_svg(path)} for path, figure in figures.items()],
        costs=step_costs(benchmarks, jobs, partial).to_dict("records"),
        # `methods` may name a recipe or all
        changed_settings=changed_settings(config | {"methods": list(method_rows)}, published, method_rows),
        failures=list(map(find_failures, finished)),
        examples=list(map(best_run_examples, finished)),
        note=config["note"],
        config=yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
        colors=BOX_COLORS,
        now=datetime.now().astimezone().strftime(f"{DATE} %Z"),
    )


def facts(datasets: list[Results], jobs_of_runs, frames) -> dict[str, str]:
    """Return what was run, when, and with which machines and programs, as text by heading."""
    found = {
        results.title: f"{len(results.runs)} of {results.methods.wanted.sum()} runs finished, "
        f"{len(results.methods)} methods, seeds {', '.join(map(str, sorted(results.runs.seed.unique()))) or '–'}"
        for results in datasets
    }
    if jobs := [job for of_run in jobs_of_runs.values() for job in of_run]:
        times = [datetime.fromisoformat(job["time"]) for job in jobs]
        found["Training started"] = " to ".join(time.strftime(DATE) for time in (min(times), max(times)))
        devices = {device for job in jobs for device in job["gpus"] or [job["processor"]]}
        found["Trained on"] = ", ".join(sorted(devices))
        found["Code of the runs"] = "; ".join(sorted({job["code"] for job in jobs}))
        found["PyTorch of the runs"] = ", ".join(sorted({job["packages"]["torch"] for job in jobs}))
    if ffmpeg := set(map(ffmpeg_of, Path(frames).glob("*.json"))):
        found["ffmpeg"] = ", ".join(sorted(ffmpeg))
    here = environment()
    return found | {
        "Code of this report": here["code"],
        "This report's machine": "{processor}, {cores} cores, {memory_gb} GB, {system}".format(**here),
        "Packages": ", ".join(f"{name} {number}" for name, number in here["packages"].items()),
    }


def duration(hours) -> str:
    """Return hours for a reader: 2.5 -> "2 h 30 min"."""
    minutes, seconds = divmod(round(3600 * hours), 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    return f"{minutes // 60} h {minutes % 60} min"


def jobs_of_runs(datasets: list[Results]) -> dict[str, list[dict]]:
    """Return the jobs that trained each finished run, by "dataset/method/seed0"."""
    return {
        f"{results.dataset}/{run.method}/seed{run.seed}": read_jobs(run.folder)
        for results in datasets
        for run in results.runs.itertuples()
    }


def ffmpeg_of(record: Path) -> str:
    """Return the version of the ffmpeg that extracted a film's frames; ``record``: written beside its archive."""
    try:
        return read_json(record, ffmpeg=str)["ffmpeg"]
    except DamagedFile as error:
        return f"unknown ({error})"


if __name__ == "__main__":
    with rule_script(snakemake):
        page = report(
            snakemake.input.template,
            read_all(snakemake),
            dict(zip(map(Path, snakemake.input.figures), snakemake.params.figures.values(), strict=True)),
            snakemake.params.benchmarks,
            snakemake.params.frames,
            snakemake.config,
            find_files(read_file(snakemake.input.recipe)),
            snakemake.params.method_rows,
            bool(snakemake.wildcards.partial),
        )
        with atomic_write(snakemake.output.html) as partial:
            partial.write_text(page, encoding="utf-8")
