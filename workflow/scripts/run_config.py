"""Write the resolved configuration of one run, checked against what the trainer knows."""

from trainer import config
from trainer.files import whole_file
from workflow.scripts.job import job


def run_config(run, output):
    """Write ``run``, a mapping in the shape of `trainer.config.Run`, to ``output``; raise InputError if it is none."""
    with whole_file(output) as partial:
        partial.write_text(config.dump(config.build(run)))


if __name__ == "__main__":
    with job(snakemake):
        run_config(snakemake.params.run, snakemake.output[0])
