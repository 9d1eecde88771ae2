"""Data is made once for checkouts that share a folder, kept if a film fails, and deleted where config says so."""

import re
import threading
import time
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.helpers.checkout import checkout, finish, snakemake
from tests.helpers.paths import MIRROR
from tests.helpers.users import UNPRIVILEGED

FILMS = ["-ParkBench7.mkv", "CornerCafe3.mp4"]
DATA = ["--cores", "1", "--until", "extract_frames", "index_charades", "unpack_annotations"]

pytestmark = pytest.mark.skipif(
    not (MIRROR / "Charades_v1_rgb.tar").exists(), reason="no mirror of the demo; run `make demo` first"
)


def films_made(folder):
    """Return what jobs of a checkout log of films that they cut or extracted, instead of linking to them."""
    logs = [path.read_text() for path in (folder / "results/demo/logs").rglob("*.log")]
    return [line for log in logs for line in log.splitlines() if re.search(r": \d+ frames.* MB in ", line)]


def contents(folder):
    """Return inode and time of each file, which must not change."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


@contextmanager
def serve(handler=SimpleHTTPRequestHandler):
    """Serve the demo's mirror while the block runs; yield the address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=MIRROR)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def web():
    with serve() as address:
        yield address


class LimitedServer(SimpleHTTPRequestHandler):
    """Lack a film, and answer the others when four are requested at once."""

    def do_GET(self):
        if "/trainval/" not in self.path:
            return super().do_GET()
        if Path(self.path).name == self.lacks:
            return self.send_error(404)
        self.requested.append(Path(self.path).name)
        self.now.add(self)
        if len(self.now) == 4:
            self.four.set()
        self.four.wait(60)
        time.sleep(0.5)  # would there be a fifth?
        self.most.append(len(self.now))
        super().do_GET()
        self.now.remove(self)


def test_a_failed_film_does_not_affect_the_others_and_four_downloads_run_at_once(tmp_path):
    films = [
        "-ParkBench7.mkv",
        "CornerCafe3.mp4",
        "OldKitchen5.mkv",
        "SchoolYard8.mkv",
        "_TrainStop1.mp4",
        "LivingRoom6.mp4",
    ]
    others = [film for film in films if film != "OldKitchen5.mkv"]
    download = ["--cores", "8", "--resources", "gpu=4", "--until", "cut_film"]  # as in the README, without `download`
    seen = {"lacks": "OldKitchen5.mkv", "requested": [], "now": set(), "most": [], "four": threading.Event()}
    handler = type("Handler", (LimitedServer,), seen)
    with serve(handler) as address:
        folder = checkout(tmp_path, address, datasets=["ava"], ava={"films": films})
        failed = snakemake(folder, *download)
        assert failed.wait() == 1
        out = (folder / "output").read_text()
        assert re.search(r"error: .*/OldKitchen5\.mkv: no source has it\. http.*: HTTP status 404", out)
        assert sorted(path.stem for path in folder.rglob("*.nut")) == sorted(Path(film).stem for film in others)
        assert sorted(handler.requested) == sorted(others)
        assert max(handler.most) == 4

        handler.lacks = None
        finish(folder, snakemake(folder, *download))
        assert sorted(handler.requested) == sorted(films)  # existing films are not downloaded again

        mirrors = folder / "sources.tsv"
        mirrors.write_text(mirrors.read_text() + "ava_films\thttp://localhost:9/{film}\t{film}\t\t\tone more mirror\n")
        out = finish(folder, snakemake(folder, *download, "--dry-run"))
        assert re.search(r"^total +0$", out, re.MULTILINE), out


def test_two_checkouts_share_their_data(tmp_path, web):
    shared = tmp_path / "shared"
    shared.mkdir()
    settings = {"shared_cache": str(shared), "delete_after_use": ["films"], "ava": {"films": FILMS}}
    checkouts = [checkout(tmp_path / name, web, **settings) for name in "ab"]
    workflows = [snakemake(folder, *DATA) for folder in checkouts]
    for folder, workflow in zip(checkouts, workflows, strict=True):
        finish(folder, workflow)
    made = [film for folder in checkouts for film in films_made(folder)]
    assert len(made) == 2 * len(FILMS)  # each cut and extracted once, by the one or the other
    before = contents(shared)
    data = [path.relative_to(shared) for path in before if path.name != ".lock"]
    assert not [path for path in data if path.name.startswith(".")]
    assert {"-ParkBench7.mkv", "-ParkBench7.nut", "-ParkBench7.tar"} <= {path.name for path in data}
    for folder in checkouts:
        for path in data:
            link = folder / "data/demo" / path
            if path.name in FILMS:  # of the shared cache, `delete_after_use` deletes the links
                assert not link.is_symlink()
            else:
                assert link.resolve() == shared / path

    late = checkout(tmp_path / "c", web, **settings)
    for path in [shared, *shared.rglob("*")]:
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        finish(late, snakemake(late, *DATA, before=UNPRIVILEGED))
    finally:
        for path in [shared, *shared.rglob("*")]:
            path.chmod(path.stat().st_mode | 0o200)
    assert not films_made(late)
    assert contents(shared) == before
    out = finish(checkouts[0], snakemake(checkouts[0], *DATA, "--dry-run"))  # links of others are no change
    assert re.search(r"^total +0$", out, re.MULTILINE), out


def test_films_and_cuts_are_deleted_after_use(tmp_path):
    folder = checkout(tmp_path, delete_after_use=["films", "cuts"], ava={"films": FILMS})
    finish(folder, snakemake(folder, *DATA))
    left = {path.name for path in (folder / "data/demo/ava").rglob("*") if path.is_file()}
    assert {f"{Path(film).stem}{suffix}" for film in FILMS for suffix in (".tar", ".npy", ".json")} <= left
    assert not [name for name in left if name.endswith((".nut", *FILMS))]
    out = finish(folder, snakemake(folder, *DATA, "--dry-run"))
    assert re.search(r"^total +0$", out, re.MULTILINE), out
