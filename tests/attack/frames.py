"""Frames: archives, indices, folders, lists of clips, and films."""

import json
import os
import subprocess

import numpy as np
import simplejpeg

from tests.attack import samples
from tests.attack.damage import (
    ANY_FILE,
    NO_NUMBERS,
    NO_WHOLE_NUMBERS,
    Damage,
    cells,
    columns,
    content,
)
from tests.attack.samples import (
    INDEX,
    TAR,
    TEXT_TABLE,
    check_download,
    given,
    make_charades,
)
from tests.attack.tries import Reader
from tests.helpers.films import make_film
from tests.helpers.small_run import small_run
from trainer import config, datasets
from workflow.lib.film import ffmpeg_binary
from workflow.scripts.cut_film import cut_film
from workflow.scripts.extract_frames import extract_frames
from workflow.scripts.index_charades import index_charades
from workflow.scripts.index_folder import index_folder


def make_ava_run(folder):
    small_run(folder, "ava")


def make_charades_run(folder):
    small_run(folder, "charades")


def read_clips(folder):
    """Read every example of a run, as its loaders do."""
    run = config.load(folder / "config.yaml")
    task = datasets.task(run.dataset)
    train, test = task.training_set(run), task.test_set(run)
    samples = [train[0, row] for row in range(len(train))] + [test[row] for row in range(len(test))]
    return [
        (int(sample.row), getattr(sample, "targets", None), getattr(sample, "boxes", None), _pixels(sample))
        for sample in samples
    ]


def _pixels(sample):
    return (sample.clip if hasattr(sample, "clip") else sample.frames).double().sum().item()


def make_folder_of_frames(folder):
    for video in ("AAAAA", "BBBBB"):
        (folder / "frames" / video).mkdir(parents=True)
        for number in range(1, 5):
            (folder / f"frames/{video}/{video}_{number:06d}.jpg").write_bytes(b"x")
    index_folder(folder / "frames", folder / "videos.csv", separator="_")


def read_folder_of_frames(folder):
    index_folder(folder / "frames", folder / "new.csv", separator="_")
    return (folder / "new.csv").read_text()


def index_tar(folder):
    index_charades(folder / "charades.tar", folder / "new.npy", folder / "new.csv")
    return (folder / "new.csv").read_text(), np.load(folder / "new.npy").tolist()


FRAME_FOLDER: dict[str, Damage] = {
    "the first frame lacks": lambda path: (path / "AAAAA_000001.jpg").unlink(),
    "a frame in the middle lacks": lambda path: (path / "AAAAA_000002.jpg").unlink(),
    "the number of a frame is 0": lambda path: (path / "AAAAA_000000.jpg").write_bytes(b"x"),
    "numbers of other length": lambda path: (path / "AAAAA_5.jpg").write_bytes(b"x"),
    "other separator": lambda path: (path / "AAAAA-000005.jpg").write_bytes(b"x"),
    "no letter": lambda path: (path / "AAAAA_x.jpg").write_bytes(b"x"),
    "a folder as a frame": lambda path: (path / "AAAAA_000005.jpg").mkdir(),
    "a link to nothing as a frame": lambda path: (path / "AAAAA_000005.jpg").symlink_to("/nowhere"),
    "a link to itself": lambda path: (path / "loop").symlink_to(path),
    "a file among the videos": lambda path: (path.parent / "readme").write_text("x"),
    "an empty video": lambda path: (path.parent / "CCCCC").mkdir(),
    "a video of odd name": lambda path: (path.parent / "a\nb,c").mkdir(),
    "a name that is not UTF-8": lambda path: (path.parent / "caf\udce9").mkdir(),
}


FRAMES_CELLS = {
    1: (*NO_WHOLE_NUMBERS, "-1", "41"),
    2: ("", "nowhere.tar"),
    3: ("nowhere.npy",),
    4: (*NO_WHOLE_NUMBERS, "-1", "240"),
}


AVA_LIST_CELLS = {
    0: ("", "unknown"),
    1: NO_WHOLE_NUMBERS,
    2: (*NO_WHOLE_NUMBERS, "-1"),
    **dict.fromkeys(range(3, 7), NO_NUMBERS),
    7: ("x", "0", "81", "-1", "1.5", "nan", "1,2"),
}


CHARADES_LIST_CELLS = {
    0: ("", "unknown"),
    1: (*NO_WHOLE_NUMBERS, "-1", "0", "41"),
    2: ("x", "3", "3:5", "157:0-5", "-1:0-5", "3:9-2", "3:0-99", "3:-5-2", "3:0-5:7", "nan:0-5", "3:0-" + "9" * 30),
}


def make_films(folder):
    for suffix in (".mkv", ".mp4", ".webm"):
        kept = samples.CACHE / f"film{suffix}"
        if not kept.exists():
            make_film(
                kept.with_stem(f"new{os.getpid()}"),
                "25",
                9,
                codec=("-c:v", "mpeg4") if suffix != ".webm" else ("-c:v", "libvpx", "-deadline", "realtime"),
            )
            kept.with_stem(f"new{os.getpid()}").rename(kept)
        (folder / f"film{suffix}").write_bytes(kept.read_bytes())
    cut = samples.CACHE / "cut.nut"
    if not cut.exists():
        cut_film(folder / "film.mkv", samples.CACHE / f"new{os.getpid()}.nut", 3, 8)
        (samples.CACHE / f"new{os.getpid()}.nut").rename(cut)
    (folder / "cut.nut").write_bytes(cut.read_bytes())


def cut_of(name):
    """Return a function that cuts a film and extracts its frames; damage may show in either."""

    def read(folder):
        cut_film(folder / name, folder / "cut.nut", 3, 8)
        return extracted(folder)

    return read


def extracted(folder):
    outputs = [folder / f"frames{suffix}" for suffix in (".tar", ".npy", ".json")]
    extract_frames(folder / "cut.nut", *outputs, start=3, stop=8, fps=10)
    return len(np.load(outputs[1])), json.loads(outputs[2].read_text())["frames"]


def _text_film(words):
    return content(lambda _: words.encode())


def _jpeg(path):
    path.unlink()
    path.write_bytes(simplejpeg.encode_jpeg(np.zeros((32, 32, 3), np.uint8)))


def _sound(path):
    path.unlink()
    command = [
        ffmpeg_binary(),
        "-loglevel",
        "error",
        "-f",
        "lavfi",
        "-i",
        "sine=d=9",
        "-c:a",
        "libvorbis",
        "-f",
        "matroska",
    ]
    subprocess.run([*command, f"file:{path}"], check=True, stdin=subprocess.DEVNULL)


FILM: dict[str, Damage] = {
    "an ffconcat script": _text_film("ffconcat version 1.0\nfile film.mp4\n"),
    "an HLS playlist": _text_film("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfilm.mp4\n#EXT-X-ENDLIST\n"),
    "an HLS playlist of a URL": _text_film(
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"
    ),
    "subtitles": _text_film("1\n00:00:01,000 --> 00:00:02,000\nhello\n"),
    "a JPEG": _jpeg,
    "sound only": _sound,
    "the film twice": content(lambda whole: whole + whole),
    "the middle lacks": content(lambda whole: whole[: len(whole) // 3] + whole[2 * len(whole) // 3 :]),
    "zeros in the middle": content(
        lambda whole: whole[: len(whole) // 3] + bytes(len(whole) // 3) + whole[2 * len(whole) // 3 :]
    ),
}


OTHER_LIST = r"list\.csv|frames\.(csv|tar)"  # of two files that contradict each other, one is named

READERS = [
    Reader(
        "index_charades",
        ("charades.tar",),
        make_charades,
        index_tar,
        given(ANY_FILE) | TAR,
        outputs=("new.npy", "new.csv"),
    ),
    Reader(
        "index_folder",
        ("frames/AAAAA",),
        make_folder_of_frames,
        read_folder_of_frames,
        FRAME_FOLDER,
        outputs=("new.csv",),
    ),
    Reader(
        "AVA clips, list",
        ("list.csv",),
        make_ava_run,
        read_clips,
        TEXT_TABLE | columns(",") | cells(",", AVA_LIST_CELLS),
        named=OTHER_LIST,
    ),
    Reader(
        "Charades clips, list",
        ("list.csv",),
        make_charades_run,
        read_clips,
        TEXT_TABLE | columns(",") | cells(",", CHARADES_LIST_CELLS),
        named=OTHER_LIST,
    ),
    Reader(
        "clips, frames list",
        ("frames.csv",),
        make_charades_run,
        read_clips,
        TEXT_TABLE | columns(",") | cells(",", FRAMES_CELLS),
        named=r"frames\.(csv|npy|tar)|nowhere",  # a file that it names in the place of another
    ),
    Reader("clips, index", ("frames.npy",), make_charades_run, read_clips, ANY_FILE | INDEX),
    Reader("clips, archive", ("frames.tar",), make_charades_run, read_clips, ANY_FILE),
    *(
        Reader(
            f"cut_film {name}",
            (name,),
            make_films,
            cut_of(name),
            given(ANY_FILE) | FILM,
            outputs=("frames.tar", "frames.npy", "frames.json"),
            named=r"film\.\w+|cut\.nut",  # the cut of a film that lacks frames
        )
        for name in ("film.mkv", "film.mp4", "film.webm")
    ),
    Reader(
        "extract_frames",
        ("cut.nut",),
        make_films,
        extracted,
        given(ANY_FILE) | FILM,
        outputs=("frames.tar", "frames.npy", "frames.json"),
    ),
    Reader(
        "check of a film", ("film.mkv",), make_films, check_download("film.mkv"), given(ANY_FILE, "a folder") | FILM
    ),
]
