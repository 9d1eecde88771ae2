"""Draw mAP on one dataset against mAP on another."""

from workflow.lib.report import plot_style
from workflow.lib.report.dataset_scatter import plot_dataset_scatter
from workflow.lib.report.results import read_all
from workflow.lib.rule_script import rule_script

if __name__ == "__main__":
    with rule_script(snakemake):
        plot_style.save(plot_dataset_scatter(read_all(snakemake)), snakemake.output)
