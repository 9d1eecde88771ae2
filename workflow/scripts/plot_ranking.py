"""Our ranking of the methods beside the published one, with Kendall's tau and its interval."""

import pandas as pd
from matplotlib.figure import Figure

from workflow.lib.report import plot_style
from workflow.lib.report.comparisons import published_agreement
from workflow.lib.report.results import Results, mean_map, read_all
from workflow.lib.rule_script import rule_script


def plot_ranking(results: Results) -> Figure:
    """Draw published ranks on the left, ours on the right, and a line for each method that has both."""
    both = pd.DataFrame({"published": results.published.mAP, "mAP": mean_map(results)}).dropna()
    both = both.sort_values(["mAP", "published"], ascending=False)  # so that lines of equal numbers do not cross
    figure = Figure(figsize=(6.4, 1 + 0.3 * max(3, len(both))))
    if len(both) < 2:
        plot_style.draw_placeholder(figure)
        return figure
    tau, low, high = published_agreement(results)
    agreement = "" if pd.isna(tau) else f": Kendall's τ = {tau:.2f} (95 % interval {low:.2f} to {high:.2f})"
    axes = figure.add_subplot()
    ranks = both.rank(ascending=False, method="first")
    for method, color in plot_style.method_colors(results.methods.loc[both.index]).items():
        heights = ranks.loc[method, ["published", "mAP"]]
        axes.plot([0, 1], heights, color=color, marker="o", ms=5, lw=1.4)
        label = results.methods.label[method]
        axes.text(-0.04, heights.iloc[0], f"{label}  {both.published[method]:.1f}", ha="right", va="center")
        axes.text(1.04, heights.iloc[1], f"{both.mAP[method]:.1f}  {label}", ha="left", va="center")
    mixed = " (groups mixed)" if len(results.comparable()) > 1 else ""
    axes.set_title(f"{results.title}{mixed}{agreement}", loc="center")
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
