"""Write one dataset's table: a row per method, its mAP beside the published one."""

from workflow.lib.report.results import read_all
from workflow.lib.report.tables import table, text_table, write_table
from workflow.lib.rule_script import rule_script

if __name__ == "__main__":
    with rule_script(snakemake):
        [results] = read_all(snakemake)
        write_table(table(results), text_table(results), snakemake.output)
