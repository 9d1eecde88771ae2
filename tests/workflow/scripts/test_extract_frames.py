"""Index i shows the film at start + i / fps: a number drawn into each source frame is read back from the archive."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import tarfile
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.helpers.events import wait_until
from tests.helpers.films import CONTAINERS, HEIGHT, RATES, VP8, WIDTH, X264, draw_frame, make_film, number_in
from tests.helpers.full_disk import full_disk
from tests.helpers.paths import ROOT
from trainer.utils.errors import InputError
from workflow.lib.film import ffmpeg_binary, ffmpeg_version, read_timestamps
from workflow.lib.tar_index import index_tar
from workflow.scripts import extract_frames as script
from workflow.scripts.cut_film import cut_film
from workflow.scripts.extract_frames import extract_frames

pytestmark = pytest.mark.long

START, STOP, FPS = 4, 7, 30
COUNT = (STOP - START) * FPS


def extract(cut, folder, video="abc", **settings):
    """Extract; return the paths of archive, index and record."""
    outputs = [folder / f"{video}{suffix}" for suffix in (".tar", ".npy", ".json")]
    extract_frames(cut, *outputs, **{"start": START, "stop": STOP, "fps": FPS, **settings})
    return outputs


def jpegs(archive, index):
    """The frames through the index, checked to be the very members of the tar."""
    content = archive.read_bytes()
    rows = np.load(index)
    assert [(int(o), int(s)) for o, s in rows] == [(o, s) for _, o, s in index_tar(archive)]
    return [content[o : o + s] for o, s in rows.tolist()]


def gray(jpeg):
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)


def numbers(archive, index):
    return [number_in(gray(jpeg)) for jpeg in jpegs(archive, index)]


FILMS = [
    *((f"film{suffix}", rate, codec, ()) for suffix, codec in CONTAINERS for rate in RATES),
    ("old.webm", "25", VP8, ()),
    ("fifty.mp4", "50", X264, ()),
    ("slow.mp4", "12", X264, ()),
    *((f"offset{suffix}", "30000/1001", codec, ("-output_ts_offset", "2.3")) for suffix, codec in CONTAINERS),
    ("timebase.mp4", "25", X264, ("-video_track_timescale", "90000")),
]


@pytest.mark.parametrize(("name", "rate", "codec", "options"), FILMS)
def test_each_index_shows_its_moment(tmp_path, name, rate, codec, options):
    film = make_film(tmp_path / name, rate, 9, codec=codec, options=options)
    cut = tmp_path / "cut.nut"
    cut_film(film, cut, START, STOP)
    archive, index, record = extract(cut, tmp_path)

    source, timestamps, _ = read_timestamps(film)
    first = source.time(timestamps[0])  # seconds count from the earliest stream, which may be the sound
    assert 0 <= first < 0.05
    shown = [first + Fraction(n) / Fraction(rate) for n in numbers(archive, index)]
    due = [START + Fraction(i, FPS) for i in range(COUNT)]
    assert len(shown) == COUNT
    # At most half an output period ahead, and at most a film period less than that; 2 ms for Matroska's rounding.
    ahead = [s - d for s, d in zip(shown, due, strict=True)]
    half, period, rounding = Fraction(1, 2 * FPS), 1 / Fraction(rate), Fraction(2, 1000)
    assert max(ahead) <= half + rounding
    assert min(ahead) >= half - period - rounding
    assert json.loads(record.read_text())["frames"] == COUNT

    # Extraction from the film gives the same bytes, so the cut has lost nothing.
    direct, _, _ = extract(film, tmp_path / "direct")
    assert direct.read_bytes() == archive.read_bytes()


def test_a_variable_rate_shows_the_last_frame_before_each_moment(tmp_path):
    jitter = ("-vf", "settb=1/90000,setpts='(N+0.45*sin(N*1.7)+4*gt(N,130))/25/TB'", "-fps_mode", "passthrough")
    film = make_film(tmp_path / "v.mp4", "25", 9, options=(*jitter, "-enc_time_base", "1/90000"))
    cut = tmp_path / "cut.nut"
    cut_film(film, cut, START, STOP)
    archive, index, _ = extract(cut, tmp_path)

    source, timestamps, _ = read_timestamps(film)
    assert len({b - a for a, b in pairwise(timestamps)}) > 20
    times = [source.time(timestamp) for timestamp in timestamps]
    limits = [START + (i + Fraction(1, 2)) / FPS for i in range(COUNT)]
    assert numbers(archive, index) == [max(k for k, t in enumerate(times) if t < limit) for limit in limits]


def test_no_drift_over_a_quarter_of_an_hour(tmp_path):
    """In 901 seconds at 23.976 frames per second, the last index is as exact as the first, and none is missing."""
    rate = Fraction(24000, 1001)
    film = make_film(tmp_path / "f.mkv", rate, 903, codec=(*X264, "-preset", "ultrafast"), audio=False)
    cut_film(film, tmp_path / "cut.nut", 1, 902)
    archive, index, _ = extract(tmp_path / "cut.nut", tmp_path, start=1, stop=902)
    rows = np.load(index)
    assert len(rows) == 901 * 30
    with archive.open("rb") as tar:
        for i in [*range(300), *range(300, 26_730, 97), *range(26_730, 27_030)]:
            tar.seek(int(rows[i]["offset"]))
            shown = number_in(gray(tar.read(int(rows[i]["size"])))) / rate
            ahead = shown - (1 + Fraction(i, 30))
            assert Fraction(1, 60) - 1 / rate - Fraction(2, 1000) <= ahead <= Fraction(1, 60) + Fraction(2, 1000)


def test_jpegs_are_those_of_the_published_command(tmp_path):
    film = make_film(tmp_path / "f.mp4", "30", 9)
    command = [ffmpeg_binary(), "-loglevel", "error", "-i", film, "-r", "30", "-q:v", "1", tmp_path / "%06d.jpg"]
    subprocess.run(command, check=True)
    archive, index, _ = extract(film, tmp_path, threads=2)
    published = [(tmp_path / f"{START * FPS + i + 1:06d}.jpg").read_bytes() for i in range(COUNT)]
    assert jpegs(archive, index) == published


def test_a_users_own_cut_has_a_clock_of_its_own(tmp_path):
    film = make_film(tmp_path / "f.mkv", "30", 9)
    cut = tmp_path / "cut.mkv"
    subprocess.run(
        [ffmpeg_binary(), "-loglevel", "error", "-ss", str(START), "-t", str(STOP - START), "-i", film, cut], check=True
    )
    archive, index, _ = extract(cut, tmp_path, start=0, stop=STOP - START)
    assert numbers(archive, index) == list(range(START * 30, STOP * 30))


@pytest.mark.parametrize(
    ("short_side", "size"), [(None, (HEIGHT, WIDTH)), (32, (32, 64)), (500, (HEIGHT, WIDTH)), (48, (48, 96))]
)
def test_the_short_side_is_a_setting(tmp_path, short_side, size):
    film = make_film(tmp_path / "f.mp4", "30", 9)
    archive, index, _ = extract(film, tmp_path, short_side=short_side)
    assert gray(jpegs(archive, index)[0]).shape == size
    assert numbers(archive, index) == list(range(START * 30, STOP * 30))


def test_the_archive_unpacks_to_slowfasts_layout_and_is_reproducible(tmp_path):
    film = make_film(tmp_path / "f.mkv", "25", 9)
    archive, index, record = extract(film, tmp_path / "one", video="-5KQ66BBWC4")
    again, _, _ = extract(film, tmp_path / "two", video="-5KQ66BBWC4", threads=2)
    assert archive.read_bytes() == again.read_bytes()
    subprocess.run(["tar", "-xf", archive], cwd=tmp_path, check=True)
    files = sorted((tmp_path / "-5KQ66BBWC4").iterdir())
    assert [f.name for f in files] == [f"-5KQ66BBWC4_{i:06d}.jpg" for i in range(1, COUNT + 1)]
    assert [f.read_bytes() for f in files] == jpegs(archive, index)
    facts = json.loads(record.read_text())
    assert facts["ffmpeg"] == ffmpeg_version()
    assert facts["source_frames"] < facts["frames"]  # 25 per second at 30 per second
    assert facts["film"] == {"codec": "h264", "width": WIDTH, "height": HEIGHT, "rate": "25"}


def damage(path, begin, end):
    """Overwrite a part of the file with noise; ``begin`` and ``end`` are fractions of its length."""
    content = bytearray(path.read_bytes())
    part = slice(int(begin * len(content)), int(end * len(content)))
    content[part] = np.random.default_rng(0).bytes(len(content[part]))
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["f.mkv", "f.mp4"])
def test_damage_repeats_the_frame_before_it(tmp_path, caplog, name):
    """Before and after the damage every index is right, and none is missing."""
    film = make_film(tmp_path / name, "30", 30, options=("-g", "30"))
    damage(film, 0.5, 0.53)
    cut = tmp_path / "cut.nut"
    cut_film(film, cut, 2, 28)
    archive, index, record = extract(cut, tmp_path, start=2, stop=28)
    shown = numbers(archive, index)
    wrong = [i for i, n in enumerate(shown) if n != 60 + i]
    assert len(shown) == 26 * 30
    assert wrong and max(wrong) - min(wrong) < 4 * 30
    if name == "f.mkv":  # whole clusters are lost; in .mp4, ffmpeg decodes damaged frames in part
        assert json.loads(record.read_text())["frozen_seconds"] > 0.5
        assert "no new frame from second" in caplog.text


def test_a_film_damaged_for_too_long_is_named(tmp_path):
    film = make_film(tmp_path / "f.mkv", "30", 20, options=("-g", "30"))
    damage(film, 0.2, 0.8)
    with pytest.raises(InputError, match=r"f\.mkv: .*(have no new frames|has frames from)"):
        extract(film, tmp_path, start=2, stop=18)
    assert [p.name for p in tmp_path.iterdir()] == ["f.mkv"]


def test_a_window_that_the_film_lacks_is_named(tmp_path):
    film = make_film(tmp_path / "f.mkv", "30", 6)
    with pytest.raises(InputError, match=r"f\.mkv: has frames from second 0.0 to 6.0 only"):
        extract(film, tmp_path)


def test_a_full_disk_is_told_and_leaves_no_half_file(tmp_path):
    film = make_film(tmp_path / "f.mkv", "30", 9)
    with full_disk(at=100_000), pytest.raises(InputError, match=r"abc\.\w+: the disk is full"):
        extract(film, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["f.mkv"]


def test_a_script_that_names_another_film_is_no_cut(tmp_path, monkeypatch):
    film = make_film(tmp_path / "f.mkv", "30", 9)
    trap = tmp_path / "cut.nut"
    trap.write_text("ffconcat version 1.0\nfile f.mkv\n")
    with pytest.raises(InputError, match=r"cut\.nut: cannot be read as a film"):
        extract(trap, tmp_path)
    # ffmpeg refuses it, too, should the file be another one by now
    probed, timestamps, end = read_timestamps(film)
    monkeypatch.setattr(script, "read_timestamps", lambda _: (replace(probed, path=trap), timestamps, end))
    with pytest.raises(InputError, match=r"cut\.nut: ffmpeg cannot decode it"):
        extract(trap, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cut.nut", "f.mkv"]


def test_an_ffmpeg_that_is_none_is_named(tmp_path):
    film = make_film(tmp_path / "f.mkv", "30", 9)
    with pytest.raises(InputError, match="not a program"):
        extract(film, tmp_path, ffmpeg=str(tmp_path / "ffmpeg"))


STOPPED = """
import sys
from pathlib import Path
from types import SimpleNamespace
from workflow.scripts.cut_film import cut_film
from workflow.scripts.extract_frames import extract_frames
from workflow.lib.rule_script import rule_script
folder, ffmpeg = map(Path, sys.argv[1:])
with rule_script(SimpleNamespace(log=[folder / "log"])):
    cut_film(folder / "f.mkv", folder / "out/cut.nut", 4, 7, ffmpeg if ffmpeg.name == "slow_cut" else None)
    extract_frames(folder / "out/cut.nut", *(folder / f"out/abc{s}" for s in (".tar", ".npy", ".json")),
                   start=4, stop=7, ffmpeg=ffmpeg)
"""
SLOW = pytest.mark.parametrize(("name", "left"), [("slow_cut", []), ("slow_pipe", ["cut.nut"])])


def start_slow(folder, name, commands):
    """Start a job whose ffmpeg, the shell ``commands``, takes a minute; return it when its file has begun."""
    make_film(folder / "f.mkv", "30", 9)
    slow = folder / name
    slow.write_text(f"#!/bin/sh\n{commands}\n")
    slow.chmod(0o755)
    process = subprocess.Popen([sys.executable, "-c", STOPPED, folder, slow], cwd=ROOT, start_new_session=True)
    suffix = ".nut" if name == "slow_cut" else ".tar"
    wait_until(lambda: list((folder / "out").glob(f".*.part{suffix}")))
    assert process.poll() is None
    return process


@SLOW
def test_sigterm_ends_ffmpeg_and_leaves_no_half_file(tmp_path, name, left):
    process = start_slow(tmp_path, name, f'exec {ffmpeg_binary()} -readrate 0.3 "$@"')
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    [ffmpeg] = wait_until(lambda: children.read_text().split())
    process.terminate()
    assert process.wait(30) == 128 + signal.SIGTERM
    assert not Path("/proc", ffmpeg).exists()
    assert (tmp_path / "log").read_text().splitlines()[-1].startswith("stopped by SIGTERM")
    assert [p.name for p in (tmp_path / "out").iterdir()] == left


@SLOW
def test_kill_9_leaves_no_half_file(tmp_path, name, left):
    """An ffmpeg that stops in the middle, in front of which the process is killed; then a run without."""
    then = '"$@"' if name == "slow_cut" else '"$@" | head -c 60000'
    process = start_slow(tmp_path, name, f'set -- {ffmpeg_binary()} "$@"\n{then}\nsleep 60')
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    out = tmp_path / "out"
    assert sorted(p.name for p in out.iterdir() if not p.name.startswith(".")) == left

    cut_film(tmp_path / "f.mkv", out / "cut.nut", START, STOP)
    archive, index, _ = extract(out / "cut.nut", out)
    assert numbers(archive, index) == list(range(START * 30, STOP * 30))


def test_a_tar_reads_back_by_tarfile(tmp_path):
    film = make_film(tmp_path / "f.mkv", "30", 9)
    archive, index, _ = extract(film, tmp_path)
    with tarfile.open(archive) as tar:
        digests = [hashlib.sha256(tar.extractfile(m).read()).digest() for m in tar]
    assert digests == [hashlib.sha256(j).digest() for j in jpegs(archive, index)]


def test_the_drawn_number_can_be_read():
    assert [number_in(draw_frame(n)) for n in (0, 1, 777, 32_767)] == [0, 1, 777, 32_767]
