"""Two checkouts and one shared folder: the workflow's data is made once, used by both, and touched by none."""

import re
import shutil
import subprocess

import pytest
import yaml

from tests.scripts.test_shared import UNPRIVILEGED
from tests.test_workflow import ROOT, SNAKEMAKE

MIRROR = ROOT / "data/demo/mirror"
FILMS = ["-ParkBench7.mkv", "CornerCafe3.mp4"]
RULES = ["extract_frames", "index_charades", "unpack_annotations"]

pytestmark = pytest.mark.skipif(
    not (MIRROR / "Charades_v1_rgb.tar").exists(), reason="no mirror of the demo; run `make demo` first"
)


def checkout(folder, shared):
    """A copy of this checkout's files, and the arguments of a workflow in it."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    for name in subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0"):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    sources = (ROOT / "config/demo_sources.tsv").read_text().replace("data/demo/mirror", str(MIRROR))
    (folder / "sources.tsv").write_text(sources)
    changes = {"sources_table": "sources.tsv", "shared": str(shared), "ava": {"films": FILMS}}
    (folder / "changes.yaml").write_text(yaml.safe_dump(changes))
    return folder


def start(folder, *options, before=()):
    """Prepare the data in a checkout."""
    command = [*before, SNAKEMAKE, "--cores", "1", "--configfile", "config/demo.yaml", "changes.yaml"]
    return subprocess.Popen(
        [*command, "--until", *RULES, *options],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def films_made(folder):
    """What the jobs of a checkout say of films that they have cut or extracted, instead of having linked to them."""
    logs = [path.read_text() for path in (folder / "results/logs").rglob("*.log")]
    return [line for log in logs for line in log.splitlines() if re.search(r": \d+ frames.* MB in ", line)]


def contents(folder):
    """What must not change of each file in it: which one it is, and its time."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


@pytest.fixture
def shared(tmp_path):
    (tmp_path / "shared").mkdir()
    return tmp_path / "shared"


def test_two_checkouts_share_their_data(tmp_path, shared):
    checkouts = [checkout(tmp_path / name, shared) for name in "ab"]
    workflows = [start(folder) for folder in checkouts]
    for workflow in workflows:
        out, _ = workflow.communicate()
        assert workflow.returncode == 0, out
    made = [film for folder in checkouts for film in films_made(folder)]
    assert len(made) == 2 * len(FILMS)  # each cut and extracted once, by the one or the other
    before = contents(shared)
    data = [path.relative_to(shared) for path in before if path.name != ".lock"]
    assert not [path for path in data if path.name.startswith(".")]
    for folder in checkouts:
        for path in data:
            assert (folder / "data/demo" / path).resolve() == shared / path

    late = checkout(tmp_path / "c", shared)
    for path in [shared, *shared.rglob("*")]:
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        workflow = start(late, before=UNPRIVILEGED)
        out, _ = workflow.communicate()
        assert workflow.returncode == 0, out
    finally:
        for path in [shared, *shared.rglob("*")]:
            path.chmod(path.stat().st_mode | 0o200)
    assert not films_made(late)
    assert contents(shared) == before
    out, _ = start(checkouts[0], "--dry-run").communicate()  # what others link to is no news
    assert re.search(r"^total +0$", out, re.MULTILINE), out
