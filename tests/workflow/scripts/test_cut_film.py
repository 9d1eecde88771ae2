"""A cut has the film's own frames and timestamps, and errors name bad films."""

import subprocess
from dataclasses import replace

import av
import numpy as np
import pytest

from tests.helpers.films import CONTAINERS, RATES, VP8, X264, make_film
from tests.helpers.full_disk import full_disk
from trainer.utils.errors import InputError
from workflow.lib.film import FILM_START, check_film, ffmpeg_binary, probe, read_timestamps
from workflow.scripts import cut_film as script
from workflow.scripts.cut_film import cut_film

pytestmark = pytest.mark.long

START, STOP = 4, 7


def read_frames(path):
    """Return {timestamp in seconds: pixels} of all frames."""
    with av.open(f"file:{path}") as container:
        return {f.pts * f.time_base: f.to_ndarray() for f in container.decode(container.streams.video[0])}


@pytest.mark.parametrize(
    ("name", "rate", "codec", "options"),
    [
        *((f"a{suffix}", rate, codec, ()) for suffix, codec in CONTAINERS for rate in RATES),
        ("c.mp4", "60", X264, ()),
        ("e.webm", "25", VP8, ()),
        *((f"offset{suffix}", "25", codec, ("-output_ts_offset", "5.5")) for suffix, codec in CONTAINERS),
        ("open_gop.mkv", "25", (*X264, "-x264-params", "open-gop=1"), ()),
        ("-dash:50%d.mkv", "30", X264, ()),
    ],
)
def test_frames_and_timestamps_are_those_of_the_film(tmp_path, monkeypatch, name, rate, codec, options):
    monkeypatch.chdir(tmp_path)  # a bare name, so that "-dash" comes first in it
    make_film(tmp_path / name, rate, 9, codec=codec, options=options)
    cut_film(name, "cut.nut", START, STOP)

    film, cut = read_frames(name), read_frames("cut.nut")
    zero = read_timestamps(name)[0].zero
    assert set(cut) <= set(film)
    assert all(np.array_equal(cut[t], film[t]) for t in cut)
    inside = {t for t in film if START <= t - zero < STOP}
    assert inside <= set(cut)
    assert min(cut) - zero <= START
    assert len(cut) < len(film)
    with av.open("cut.nut") as container:
        assert [s.type for s in container.streams] == ["video"]


@pytest.mark.parametrize(("suffix", "codec"), CONTAINERS)
def test_timestamps_are_kept_from_the_films_first_frame_on(tmp_path, suffix, codec):
    """Frames of the first second have negative decoding timestamps, for which ffmpeg may shift all timestamps."""
    film = make_film(tmp_path / f"a{suffix}", "25", 9, codec=codec, audio=False)
    cut_film(film, tmp_path / "cut.nut", 0, STOP)
    original, cut = read_frames(film), read_frames(tmp_path / "cut.nut")
    assert all(np.array_equal(cut[t], original[t]) for t in cut)
    assert len(cut) >= 25 * STOP


def test_seconds_count_from_the_containers_earliest_stream(tmp_path):
    film = make_film(tmp_path / "f.mkv", "25", 9, options=("-output_ts_offset", "5.5"))
    cut_film(film, tmp_path / "cut.nut", START, STOP)
    original, cut = read_timestamps(film)[0], read_timestamps(tmp_path / "cut.nut")[0]
    assert cut.zero == original.zero > 5
    assert cut.time(0) == original.time(0)


@pytest.mark.parametrize("window", [(4, 10), (9.8, 12)])
def test_a_film_shorter_than_the_window_is_named(tmp_path, window):
    film = make_film(tmp_path / "short.mkv", "25", 9)
    with pytest.raises(InputError, match=r"short\.mkv: .*exclude it") as error:
        cut_film(film, tmp_path / "cut.nut", *window)
    assert "the window is" in str(error.value) or "video stream is empty" in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ["short.mkv"]


def test_a_film_without_video_is_named(tmp_path):
    film = make_film(tmp_path / "a.mp4", "25", 2, options=("-map", "0:a"))
    with pytest.raises(InputError, match=r"a\.mp4: has no video stream.*exclude_videos"):
        cut_film(film, tmp_path / "cut.nut", START, STOP)


def test_a_truncated_film_is_named(tmp_path):
    film = make_film(tmp_path / "a.mp4", "25", 9)
    film.write_bytes(film.read_bytes()[:20_000])  # no moov atom
    with pytest.raises(InputError, match=r"a\.mp4: cannot be read as a film"):
        cut_film(film, tmp_path / "cut.nut", START, STOP)
    assert not (tmp_path / "cut.nut").exists()


def test_a_full_disk_is_told_and_leaves_no_half_cut(tmp_path):
    film = make_film(tmp_path / "a.mkv", "25", 9)
    ffmpeg = tmp_path / "ffmpeg"  # gets an error from the system, as on a full disk, instead of a signal
    ffmpeg.write_text(f"#!/bin/sh\ntrap '' XFSZ\nexec {ffmpeg_binary()} \"$@\"\n")
    ffmpeg.chmod(0o755)
    with (
        full_disk(at=2_000),
        pytest.raises(InputError, match=r"a\.mkv: ffmpeg cannot copy .*File too large"),
    ):
        cut_film(film, tmp_path / "out/cut.nut", START, STOP, ffmpeg)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_film_that_ends_half_a_second_early_is_taken(tmp_path):
    film = make_film(tmp_path / "a.mkv", "25", 6.6)
    cut_film(film, tmp_path / "cut.nut", START, STOP)
    assert (tmp_path / "cut.nut").exists()


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".webm", ".nut"])
def test_a_script_that_names_another_film_is_no_film(tmp_path, suffix):
    film = make_film(tmp_path / "secret.mkv", "25", 9)
    trap = tmp_path / f"a{suffix}"
    trap.write_text("ffconcat version 1.0\nfile secret.mkv\n")
    for read in (check_film, probe, read_timestamps):
        with pytest.raises(InputError, match=rf"a\{suffix}: cannot be read as a film .*expected Matroska, WebM, MP4"):
            read(trap)
    # ffmpeg refuses it, too, should the file be another one by now
    with pytest.raises(InputError, match=rf"a\{suffix}: ffmpeg cannot copy"):
        script._copy_packets(replace(probe(film), path=trap), tmp_path / "cut.nut", START, STOP, ffmpeg_binary())
    assert not (tmp_path / "cut.nut").exists()


def test_a_title_in_latin_1_does_not_matter(tmp_path):
    film = make_film(tmp_path / "a.mkv", "25", 9, options=("-metadata", "title=cafe"))
    content = film.read_bytes()
    assert b"cafe" in content
    film.write_bytes(content.replace(b"cafe", "café".encode("latin-1")))
    cut_film(film, tmp_path / "cut.nut", START, STOP)
    check_film(tmp_path / "cut.nut")


@pytest.mark.parametrize(("name", "codec", "other"), [("a.mkv", b"V_MPEG4", b"V_WHAT?"), ("a.mp4", b"avc1", b"what")])
def test_an_unknown_codec_is_named(tmp_path, name, codec, other):
    film = make_film(tmp_path / name, "25", 9)
    film.write_bytes(film.read_bytes().replace(codec, other))
    with pytest.raises(InputError, match=rf"{name}: .*codec"):
        cut_film(film, tmp_path / "cut.nut", START, STOP)


@pytest.mark.parametrize("tag", ["abc", "1/0", "1e999999999"])
def test_a_cut_with_an_odd_start_is_named(tmp_path, tag):
    film = make_film(tmp_path / "a.mkv", "25", 9)
    options = ["-c", "copy", "-map", "0:V:0", "-metadata", f"{FILM_START}={tag}", "-f", "nut"]
    subprocess.run([ffmpeg_binary(), "-loglevel", "error", "-i", film, *options, tmp_path / "cut.nut"], check=True)
    with pytest.raises(InputError, match=rf"cut\.nut: tag film_start is '{tag}'; expected seconds"):
        probe(tmp_path / "cut.nut")
