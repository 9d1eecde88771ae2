"""Build the demo's mirror of the upstream files."""

from workflow.demo.mirror import build_demo_mirror
from workflow.lib.rule_script import rule_script

if __name__ == "__main__":
    with rule_script(snakemake):
        build_demo_mirror(**snakemake.output, **snakemake.params)
