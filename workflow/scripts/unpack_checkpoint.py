"""Unpack one published checkpoint from the archive of all."""

from workflow.lib.archives import unpack
from workflow.lib.rule_script import rule_script
from workflow.lib.shared_cache import build_in_shared_cache

if __name__ == "__main__":
    with rule_script(snakemake):
        build_in_shared_cache(lambda *files: unpack(snakemake.input[0], files), snakemake)
