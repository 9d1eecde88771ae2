"""Write one dataset's table, a row per method with its mAP beside the published one, and that of its classes."""

from workflow.lib.report.results import read_all
from workflow.lib.report.tables import class_table, table, text_table, write_csv, write_table
from workflow.lib.rule_script import rule_script

if __name__ == "__main__":
    with rule_script(snakemake):
        [results] = read_all(snakemake)
        write_table(table(results), [text_table(group) for group in results.comparable()], snakemake.output)
        write_csv(class_table(results), snakemake.output.classes)
