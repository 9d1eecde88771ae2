"""Download one file of the sources table."""

from workflow.lib.downloads.sources import download
from workflow.lib.rule_script import rule_script
from workflow.lib.shared_cache import build_in_shared_cache

if __name__ == "__main__":
    with rule_script(snakemake):
        urls, checks = snakemake.params.urls, snakemake.params.checks
        build_in_shared_cache(
            lambda file: download(urls, file, size=checks["bytes"], sha256=checks["sha256"]),
            snakemake.input,
            snakemake.output,
            snakemake.config,
            checks["bytes"],
        )
