"""Download one film of AVA."""

from workflow.lib.downloads.sources import download
from workflow.lib.rule_script import rule_script
from workflow.lib.shared_cache import build_in_shared_cache

if __name__ == "__main__":
    with rule_script(snakemake):
        # Read from the config, as another window in params would re-run the downloads of complete films.
        window = snakemake.config["ava"]["start"], snakemake.config["ava"]["stop"]
        build_in_shared_cache(
            lambda film: download(snakemake.params.urls, film, window=window, ffmpeg=snakemake.config["ffmpeg"]),
            snakemake,
        )
