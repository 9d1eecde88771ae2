"""Our ranking of the methods beside the published one, with Kendall's tau and its bootstrap interval."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from workflow.lib.report import plot_style
from workflow.lib.report.results import Results, average_precisions, mean_map, read_all
from workflow.lib.rule_script import rule_script

DRAWS = 2000  # of the bootstrap


def kendall_tau(a, b) -> float:
    """Return Kendall's tau-b of two rankings: 1 if equal, -1 if reversed, NaN if one has only ties."""
    pairs = np.triu_indices(len(a), 1)
    first, second = (np.sign(np.subtract.outer(values, values))[pairs] for values in (np.asarray(a), np.asarray(b)))
    untied = np.sqrt(np.count_nonzero(first) * np.count_nonzero(second))
    return float((first * second).sum() / untied) if untied else float("nan")


def tau_interval(precisions: pd.DataFrame, published: pd.Series) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of tau; classes, and the seeds of each method, are drawn with replacement.

    ``precisions``: average precision, rows (method, seed), columns classes; ``published``: mAP by method. With one seed
    the interval covers the choice of classes only.
    """
    rng = np.random.default_rng(0)
    runs = [precisions.loc[method].to_numpy() for method in published.index]
    taus = []
    for _ in range(DRAWS):
        classes = rng.integers(precisions.shape[1], size=precisions.shape[1])
        ours = [run[np.ix_(rng.integers(len(run), size=len(run)), classes)].mean() for run in runs]
        taus.append(kendall_tau(ours, published))
    low, high = np.nanpercentile(taus, [2.5, 97.5])
    return float(low), float(high)


def plot_ranking(results: Results) -> Figure:
    """Draw published ranks on the left, ours on the right, and a line for each method that has both."""
    both = pd.DataFrame({"published": results.published.mAP, "mAP": mean_map(results)}).dropna()
    both = both.reindex([method for method in results.methods.index if method in both.index])
    figure = Figure(figsize=(6.4, 1 + 0.3 * max(3, len(both))))
    if len(both) < 2:
        plot_style.draw_placeholder(figure)
        return figure
    tau = kendall_tau(both.mAP, both.published)
    low, high = tau_interval(average_precisions(results), both.published)
    axes = figure.add_subplot()
    ranks = both.rank(ascending=False, method="first")
    for method, color in plot_style.method_colors(results.methods.loc[both.index]).items():
        heights = ranks.loc[method, ["published", "mAP"]]
        axes.plot([0, 1], heights, color=color, marker="o", ms=5, lw=1.4)
        label = results.methods.label[method]
        axes.text(-0.04, heights.iloc[0], f"{label}  {both.published[method]:.1f}", ha="right", va="center")
        axes.text(1.04, heights.iloc[1], f"{both.mAP[method]:.1f}  {label}", ha="left", va="center")
    axes.set_title(f"{results.title}: Kendall's τ = {tau:.2f} (95 % interval {low:.2f} to {high:.2f})", loc="center")
    axes.set_xticks([0, 1], ["published mAP (%)", "our mAP (%)"])
    axes.set_xlim(-0.75, 1.75)
    axes.invert_yaxis()
    axes.set_yticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


if __name__ == "__main__":
    with rule_script(snakemake):
        plot_style.save(plot_ranking(*read_all(snakemake)), snakemake.output)
