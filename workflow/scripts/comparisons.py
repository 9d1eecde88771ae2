"""Write one dataset's differences of mAP: a row per pair of methods."""

from workflow.lib.report.comparisons import pairs, text_tables
from workflow.lib.report.results import read_all
from workflow.lib.report.tables import write_table
from workflow.lib.rule_script import rule_script

if __name__ == "__main__":
    with rule_script(snakemake):
        [results] = read_all(snakemake)
        write_table(pairs(results), text_tables(results), snakemake.output, digits=4)
