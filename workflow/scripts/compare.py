"""Write what differs between this experiment and another one: table, classes, figure and page."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from trainer.utils.files import atomic_write
from workflow.lib.report import plot_style
from workflow.lib.report.against import (
    class_differences,
    class_text_table,
    method_differences,
    read_other,
    statement,
    text_table,
)
from workflow.lib.report.page import inline_svg, render
from workflow.lib.report.results import Results, read_results
from workflow.lib.report.tables import write_csv
from workflow.lib.report.text_table import latex, markdown
from workflow.lib.rule_script import rule_script

Experiments = list[tuple[Results, Results]]  # of each dataset: this experiment's results, and the other's


def plot_experiments(experiments: Experiments) -> Figure:
    """Draw a panel per dataset: each method's difference of mAP with its 95 % interval."""
    methods = experiments[0][0].methods
    figure = Figure(figsize=(1.6 + 3.6 * len(experiments), 1.2 + 0.28 * len(methods)))
    panels = figure.subplots(1, len(experiments), sharey=True, squeeze=False)[0]
    places = pd.Series(range(len(methods)), methods.index)
    for axes, (results, other) in zip(panels, experiments, strict=True):
        rows = method_differences(results, other)
        at = places[rows.method]
        axes.axvline(0, color=plot_style.COLORS["none"], lw=0.8)
        plot_style.draw_whiskers(axes, rows.low, rows.high, at)
        axes.scatter(rows.difference, at, s=26, color=plot_style.method_colors(methods.loc[rows.method]), zorder=3)
        axes.set_title(results.title)
        axes.set_xlabel("mAP here - there (points)")
        plot_style.label_rows(axes, methods.label)
    return figure


def of_all(experiments: Experiments, rows) -> pd.DataFrame:
    """Return ``rows(results, other)`` of all datasets in one table."""
    parts = [rows(results, other).assign(dataset=results.dataset) for results, other in experiments]
    table = pd.concat(parts, ignore_index=True)
    return table[["dataset", *table.columns.drop("dataset")]]


def write_comparison(experiments: Experiments, names, template, output):
    """Write all files; ``names``: of this experiment's results and of the other's, as paths."""
    write_csv(of_all(experiments, method_differences), output.csv, digits=4)
    write_csv(of_all(experiments, class_differences), output.classes)
    plot_style.save(plot_experiments(experiments), [output.svg, output.pdf, output.png])
    tables = [text_table(*pair) for pair in experiments]
    page = render(
        template,
        names=names,
        statements=[statement(*pair) for pair in experiments],
        tables=tables + [class_text_table(*pair) for pair in experiments],
        figure=inline_svg(Path(output.svg)),
    )
    for path, text in (
        (output.markdown, "\n".join(map(markdown, tables))),
        (output.latex, "\n".join(map(latex, tables))),
        (output.html, page),
    ):
        with atomic_write(path) as partial:
            partial.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    with rule_script(snakemake):
        ours = [read_results(**dataset) for dataset in snakemake.params.results]
        against = snakemake.params.against
        experiments = [(results, read_other(results, against)) for results in ours]
        names = snakemake.config["results"], against
        write_comparison(experiments, names, snakemake.input.template, snakemake.output)
