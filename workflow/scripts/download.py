"""Download one file of the sources table."""

from workflow.lib.downloads.sources import download
from workflow.lib.rule_script import rule_script
from workflow.lib.shared_cache import build_in_shared_cache

if __name__ == "__main__":
    with rule_script(snakemake):
        urls, size, sha256 = snakemake.params.urls, snakemake.params.bytes, snakemake.params.sha256
        build_in_shared_cache(lambda file: download(urls, file, size=size, sha256=sha256), snakemake, size)
