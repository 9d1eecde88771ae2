"""Write one dataset's differences of mAP: a row per pair of methods."""

from workflow.lib.report.comparisons import pairs, text_table
from workflow.lib.report.results import read_all
from workflow.lib.report.tables import write_table
from workflow.lib.rule_script import rule_script

if __name__ == "__main__":
    with rule_script(snakemake):
        [results] = read_all(snakemake)
        texts = [text_table(group) for group in results.comparable()]
        write_table(pairs(results), texts, snakemake.output, digits=4)
