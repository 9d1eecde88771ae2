"""Annotations of AVA and Charades, as lists are made from them and as scores read them."""

import gzip

import numpy as np

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
    TEXT_FILE,
    TEXT_TABLE,
    given,
    make_charades,
)
from tests.attack.tries import Reader
from tests.helpers.paths import FIXTURES
from trainer.metrics import ava_csv
from trainer.metrics.charades import read_class_names
from workflow.lib.frames_list import frames_in_archives, frames_in_one_archive
from workflow.scripts.list_ava import list_ava
from workflow.scripts.list_charades import list_charades

BOX_FILES = ("ground_truth_train.csv", "boxes_train.csv", "ground_truth.csv", "boxes_val.csv")


BOX_COLUMNS = {
    1: (*NO_WHOLE_NUMBERS, "-1"),
    **dict.fromkeys(range(2, 6), (*NO_NUMBERS, "-7", "1e30")),
    6: ("x", "nan", "1.5", "81", "0", "-2", "9" * 25),
}


SCORE = {7: (*NO_NUMBERS, "-0.5", "1.5")}


LIST_OUTPUTS = ("list_frames.csv", "list_train.csv", "list_val.csv")


def make_ava(folder):
    """Write two films' archives and annotations."""
    for video in ("t", "v"):
        places = np.zeros(40, np.dtype([("offset", "<u8"), ("size", "<u4")]))
        places["offset"], places["size"] = np.arange(40), 1
        np.save(folder / f"{video}.npy", places)
        (folder / f"{video}.tar").write_bytes(bytes(40))

    def rows(video, last):
        boxes = [(second, "0.1,0.2,0.5,0.9") for second in (902, 903, 904)] + [(903, "0.3,0.2,0.8,0.9")]
        return "".join(f"{video},0{second},{box},{last}\n" for second, box in boxes)

    (folder / "ground_truth_train.csv").write_text(rows("t", "12,0") + rows("t", "80,0"))
    (folder / "ground_truth.csv").write_text(rows("v", "12,0") + rows("v", "17,1"))
    (folder / "boxes_train.csv").write_text(rows("t", "12,0.95") + "t,0904,0.5,0.5,0.9,0.9,,0.99\n")
    (folder / "boxes_val.csv").write_text(rows("v", ",0.95"))
    (folder / "excluded.csv").write_text("v,0905\nv,0903\nw,1000\n")
    (folder / "labels.pbtxt").write_text(
        "".join(f'item {{\n  name: "action {number}"\n  id: {number}\n}}\n' for number in (12, 17, 80))
    )


def list_films(folder):
    films = frames_in_archives(*([str(folder / f"{video}.{kind}") for video in "tv"] for kind in ("tar", "npy")))
    annotations = {name.partition(".")[0]: folder / name for name in (*BOX_FILES, "excluded.csv")}
    annotations["label_map"] = folder / "labels.pbtxt"
    output = {name: folder / f"list_{name}.csv" for name in ("frames", "train", "val")}
    list_ava(films, annotations, output, start=900, stop=910, fps=4, min_person_score=0.9)
    return [path.read_text() for path in output.values()]


def list_with_excluded(folder):
    return (
        list_films(folder),
        ava_csv.read_exclusions(folder / "excluded.csv"),
        ava_csv.read_label_map(folder / "labels.pbtxt"),
    )


def make_score_files(folder):
    for name in ("gt.csv", "det.csv", "exclusions.csv", "labelmap.pbtxt"):
        whole = (FIXTURES / "metrics/small_a" / name).read_bytes()
        (folder / name).write_bytes(whole)
    for name in ("gt.csv", "exclusions.csv"):
        (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))


def read_truth(folder):
    return ava_csv.read_ground_truth(folder / "gt.csv")


def read_packed_truth(folder):
    return ava_csv.read_ground_truth(folder / "gt.csv.gz"), ava_csv.read_exclusions(folder / "exclusions.csv.gz")


def read_detections(folder):
    return ava_csv.read_detections(folder / "det.csv")


def read_exclusions(folder):
    return ava_csv.read_exclusions(folder / "exclusions.csv")


def read_label_map(folder):
    return ava_csv.read_label_map(folder / "labelmap.pbtxt")


LABEL_MAP: dict[str, Damage] = {
    "an item without id": content(lambda whole: whole.replace(b"  id: 3\n", b"", 1)),
    "an item without name": content(lambda whole: whole.replace(b'  name: "crouch/kneel"\n', b"", 1)),
    "an id twice": content(lambda whole: whole.replace(b"id: 3\n", b"id: 1\n", 1)),
    "id nan": content(lambda whole: whole.replace(b"id: 3\n", b"id: nan\n", 1)),
    "id -3": content(lambda whole: whole.replace(b"id: 3\n", b"id: -3\n", 1)),
    "id of 400 digits": content(lambda whole: whole.replace(b"id: 3\n", b"id: " + b"9" * 400 + b"\n", 1)),
    "id in other digits": content(lambda whole: whole.replace(b"id: 3\n", "id: ３\n".encode(), 1)),
    "an unclosed item": content(lambda whole: whole.rstrip(b"}\n")),
    "an unclosed quote": content(lambda whole: whole.replace(b'kneel"', b"kneel", 1)),
    "an empty name": content(lambda whole: whole.replace(b'"crouch/kneel"', b'""', 1)),
    "a name twice": content(lambda whole: whole.replace(b"crouch/kneel", b"bend/bow (at the waist)", 1)),
}


FRAME_LIST = {
    2: (*NO_WHOLE_NUMBERS[1:], "-1", "99"),
    3: ("", "x.jpg", "BBBBB/BBBBB-000001.jpg"),
    4: ('"157"', '"-1"', '"x"', '"1.5"', '"nan"', '"' + "9" * 400 + '"'),
}


VIDEOS = {1: (*NO_WHOLE_NUMBERS, "-1", "0", "99"), 2: (*NO_WHOLE_NUMBERS, "-1", "99")}


def list_videos(folder):
    available = frames_in_one_archive(folder / "charades.tar", folder / "index.npy", folder / "videos.csv")
    output = {name: folder / f"list_{name}.csv" for name in ("frames", "train", "val")}
    source = {"train": folder / "train.csv", "val": folder / "val.csv", "archive": folder / "charades.tar"}
    list_charades(available, source, output)
    return [path.read_text() for path in output.values()]


def read_names(folder):
    return read_class_names(folder / "classes.tsv", 157)


READERS = [
    Reader(
        "list_ava, boxes",
        ("ground_truth.csv", "boxes_val.csv"),
        make_ava,
        list_films,
        given(TEXT_TABLE) | columns(",") | cells(",", BOX_COLUMNS),
        outputs=LIST_OUTPUTS,
    ),
    Reader(
        "list_ava, scores",
        ("boxes_val.csv", "boxes_train.csv"),
        make_ava,
        list_films,
        cells(",", SCORE, 0),
        outputs=LIST_OUTPUTS,
    ),
    Reader(
        "list_ava, training",
        ("ground_truth_train.csv", "boxes_train.csv"),
        make_ava,
        list_films,
        given(TEXT_TABLE),
        outputs=LIST_OUTPUTS,
    ),
    Reader(
        "list_ava, excluded", ("excluded.csv",), make_ava, list_with_excluded, given(TEXT_TABLE), outputs=LIST_OUTPUTS
    ),
    Reader(
        "list_ava, label map", ("labels.pbtxt",), make_ava, list_with_excluded, given(TEXT_FILE), outputs=LIST_OUTPUTS
    ),
    Reader("list_ava, index", ("v.npy",), make_ava, list_films, given(ANY_FILE) | INDEX, outputs=LIST_OUTPUTS),
    Reader(
        "ground truth", ("gt.csv",), make_score_files, read_truth, TEXT_TABLE | columns(",") | cells(",", BOX_COLUMNS)
    ),
    Reader("packed ground truth", ("gt.csv.gz", "exclusions.csv.gz"), make_score_files, read_packed_truth, ANY_FILE),
    Reader(
        "detections",
        ("det.csv",),
        make_score_files,
        read_detections,
        TEXT_TABLE | columns(",") | cells(",", {7: NO_NUMBERS}),
    ),
    Reader(
        "exclusions",
        ("exclusions.csv",),
        make_score_files,
        read_exclusions,
        TEXT_TABLE | columns(",") | cells(",", {1: NO_WHOLE_NUMBERS}),
    ),
    Reader("label map", ("labelmap.pbtxt",), make_score_files, read_label_map, TEXT_FILE | LABEL_MAP),
    Reader(
        "list_charades",
        ("train.csv", "val.csv"),
        make_charades,
        list_videos,
        given(TEXT_TABLE) | columns(" ") | cells(" ", FRAME_LIST),
        outputs=LIST_OUTPUTS,
    ),
    Reader(
        "list_charades, index",
        ("index.npy",),
        make_charades,
        list_videos,
        given(ANY_FILE) | INDEX,
        outputs=LIST_OUTPUTS,
    ),
    Reader(
        "list_charades, videos",
        ("videos.csv",),
        make_charades,
        list_videos,
        given(TEXT_TABLE) | columns(",") | cells(",", VIDEOS),
        named=r"(videos|train|val)\.csv",  # of two files that contradict each other, one is named
        outputs=LIST_OUTPUTS,
    ),
    Reader("names of classes", ("classes.tsv",), make_charades, read_names, TEXT_TABLE | columns("\t")),
]
