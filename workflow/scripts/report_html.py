"""One page, without network, that shows an experiment: what was run, tables, figures, cost, differences, examples."""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import jinja2
import yaml

from trainer.environment import environment
from trainer.errors import InputError
from trainer.files import whole_file
from workflow.scripts.cost_of_steps import cost_of_steps
from workflow.scripts.differences import differences
from workflow.scripts.examples import Example, examples
from workflow.scripts.job import job
from workflow.scripts.results import TITLES, Results, mean_map, read_all
from workflow.scripts.side_by_side import side_by_side_grid
from workflow.scripts.table import table_grid

# Okabe and Ito's palette, those that black digits can be read on.
BOX_COLOURS = ["#56B4E9", "#E69F00", "#F0E442", "#009E73", "#CC79A7"]
DATE = "%Y-%m-%d %H:%M"


@dataclass(frozen=True)
class Examples:
    """What one run predicts for a few examples of a dataset."""

    dataset: str  # as people write it
    method: str
    found: list[Example]
    missing: str = ""  # why there are none


def report(template, datasets: list[Results], figures, benchmarks, frames, config, published, method_rows) -> str:
    """Render the page.

    ``template``: path; ``figures``: SVG files; ``benchmarks``: folder of benchmark files; ``frames``: folder
    with the records of extracted films; ``config``: of the workflow; ``published``: settings in the same shape;
    ``method_rows``: the methods table, {method: row}.
    """
    pages = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(template).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    pages.filters["duration"] = duration
    return pages.get_template(Path(template).name).render(
        names=" and ".join(results.title for results in datasets),
        facts=facts(datasets, frames),
        pending=sum(results.pending for results in datasets),
        wanted=int(sum(results.methods.wanted.sum() for results in datasets)),
        tables=[*([side_by_side_grid(datasets)] if len(datasets) > 1 else []), *map(table_grid, datasets)],
        figures=[figure_of(Path(path)) for path in figures],
        costs=cost_of_steps(benchmarks, gpus_of_runs(datasets)).to_dict("records"),
        differences=differences(config, without_unselected(published, config), method_rows),
        examples=[look(results) for results in datasets if len(results.runs)],
        config=yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
        colours=BOX_COLOURS,
        now=datetime.now().astimezone().strftime(f"{DATE} %Z"),
    )


def facts(datasets: list[Results], frames) -> dict[str, str]:
    """What was run, on what and when, as lines for a reader."""
    runs = [run for results in datasets for run in results.runs.itertuples()]
    told = {
        results.title: f"{len(results.runs)} of {results.methods.wanted.sum()} runs finished, "
        f"{len(results.methods)} methods, seeds {', '.join(map(str, sorted(results.runs.seed.unique()))) or '–'}"
        for results in datasets
    }
    if runs:
        environments = [environment_of(run) for run in runs]
        times = [datetime.fromisoformat(made["time"]) for made in environments]
        told["Trainings begun"] = " to ".join(time.strftime(DATE) for time in (min(times), max(times)))
        devices = {device for made in environments for device in made.get("gpus") or [made["processor"]]}
        told["Trained on"] = ", ".join(sorted(devices))
        told["Code of the runs"] = "; ".join(sorted({made["code"] for made in environments}))
        told["PyTorch of the runs"] = ", ".join(sorted({made["packages"]["torch"] for made in environments}))
    if ffmpeg := {yaml.safe_load(path.read_text())["ffmpeg"] for path in Path(frames).glob("*.json")}:
        told["ffmpeg"] = ", ".join(sorted(ffmpeg))
    here = environment()
    return told | {
        "Code of this report": here["code"],
        "This report's machine": "{processor}, {cores} cores, {memory_gb} GB, {system}".format(**here),
        "Packages": ", ".join(f"{name} {number}" for name, number in here["packages"].items()),
    }


def duration(hours) -> str:
    """Hours for a reader: 2.5 -> "2 h 30 min"."""
    minutes, seconds = divmod(round(3600 * hours), 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    return f"{minutes // 60} h {minutes % 60} min"


def without_unselected(published, config) -> dict:
    """The published settings, without those of a dataset that is not run."""
    return {key: value for key, value in published.items() if key not in TITLES or key in config["datasets"]}


def gpus_of_runs(datasets: list[Results]) -> dict[str, int]:
    """The GPUs that each finished run had; 0 where it had the CPU."""
    return {
        f"{results.dataset}/{run.method}/seed{run.seed}": len(environment_of(run).get("gpus", []))
        for results in datasets
        for run in results.runs.itertuples()
    }


def environment_of(run) -> dict:
    """On what a run was trained."""
    return json.loads(Path(run.folder, "environment.json").read_text())


# What a figure shows, by its file name without the dataset; also the name of its caption in workflow/report.
FIGURES = {
    "map": "mAP per method",
    "ranking": "agreement with the published ranking",
    "classes": "average precision per class",
    "gains": "classes that gain most",
    "training": "training curves",
}


def figure_of(path: Path) -> dict[str, str]:
    """A figure for the page: title, caption (a file of workflow/report) and SVG."""
    dataset, _, name = path.stem.partition("_")
    if name not in FIGURES:  # of both datasets
        return {"title": "AVA against Charades", "caption": f"{path.stem}.rst", "svg": inline_svg(path)}
    return {"title": f"{TITLES[dataset]}: {FIGURES[name]}", "caption": f"{name}.rst", "svg": inline_svg(path)}


def inline_svg(path: Path) -> str:
    """A figure as an SVG element for a page: without XML head, and ids that nothing refers to."""
    text = path.read_text()
    text = text[text.index("<svg") :]
    used = set(re.findall(r"#([\w.-]+)", text))
    text = re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in used else "", text)
    width = float(re.search(r' width="([\d.]+)pt"', text)[1])
    # In a narrow window it shrinks to what can still be read, then scrolls.
    text = text.replace("<svg", f'<svg role="img" style="min-width: {0.75 * width:.0f}pt"', 1)
    return re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)


def look(results: Results) -> Examples:
    """Examples of the run with the highest mAP."""
    best = mean_map(results).idxmax()
    runs = results.runs[results.runs.method == best]
    label = results.methods.label[best]
    try:
        return Examples(results.title, label, examples(runs.folder[runs["mAP"].idxmax()]))
    except InputError as error:
        return Examples(results.title, label, [], str(error))


if __name__ == "__main__":
    with job(snakemake):
        page = report(
            snakemake.input.template,
            read_all(snakemake.params.results),
            snakemake.input.figures,
            snakemake.params.benchmarks,
            snakemake.params.frames,
            snakemake.config,
            yaml.safe_load(Path(snakemake.input.recipe).read_text()),
            snakemake.params.method_rows,
        )
        with whole_file(snakemake.output.html) as partial:
            partial.write_text(page, encoding="utf-8")
