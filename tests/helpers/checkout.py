"""Another checkout of the project, in which a workflow runs without touching this one."""

import shutil
import subprocess

import yaml

from tests.helpers.paths import MIRROR, ROOT, SNAKEMAKE


def checkout(folder, mirror=MIRROR, **settings):
    """Copy this checkout's files into ``folder``; ``settings`` override the demo's. ``mirror``: a folder or URL."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    for name in subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0"):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    sources = (ROOT / "config/demo_sources.tsv").read_text().replace("data/demo/mirror", str(mirror))
    (folder / "sources.tsv").write_text(sources)
    (folder / "changes.yaml").write_text(yaml.safe_dump({"sources_table": "sources.tsv", **settings}))
    return folder


def snakemake(folder, *options, before=()):
    """Start a workflow in a checkout; its output goes to the file ``output`` there."""
    command = [*before, SNAKEMAKE, "--configfile", "config/demo.yaml", "changes.yaml", *options]
    with (folder / "output").open("w") as output:
        return subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)


def finish(folder, workflow):
    """Wait for a workflow in a checkout to succeed; return its output."""
    status, output = workflow.wait(), (folder / "output").read_text()
    assert status == 0, output
    return output
