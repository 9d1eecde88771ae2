"""Write the settings of one run, checked."""

from trainer import config
from trainer.utils.files import atomic_write
from workflow.lib.rule_script import rule_script
from workflow.lib.validation import read_run

with rule_script(snakemake), atomic_write(snakemake.output[0]) as partial:
    partial.write_text(config.dump(read_run(snakemake.params.run)))
