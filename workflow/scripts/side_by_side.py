"""Write one table of all datasets: a row per method, each dataset's mAP beside the published one."""

from workflow.lib.report.results import read_all
from workflow.lib.report.tables import side_by_side, side_by_side_text_tables, write_table
from workflow.lib.rule_script import rule_script

if __name__ == "__main__":
    with rule_script(snakemake):
        datasets = read_all(snakemake)
        write_table(side_by_side(datasets), side_by_side_text_tables(datasets), snakemake.output)
