import csv
import logging

import numpy as np
import pytest

from trainer.data import ava_lists
from trainer.data.frame_archive import INDEX, FrameArchive
from trainer.utils.errors import InputError
from workflow.lib.frames_list import frames_in_archives, frames_in_folder
from workflow.scripts.list_ava import list_ava

SETTINGS = {"start": 900, "stop": 910, "fps": 2, "min_person_score": 0.9}
FILES = {name: f"{name}.csv" for name in ("ground_truth_train", "boxes_train", "ground_truth", "boxes_val", "excluded")}
FILES["label_map"] = "label_map.pbtxt"


def archive(folder, video, frames=20):
    """An archive of frames that are one byte each, and its index."""
    places = np.zeros(frames, INDEX)
    places["offset"], places["size"] = np.arange(frames), 1
    np.save(folder / f"{video}.npy", places)
    (folder / f"{video}.tar").write_bytes(bytes(frames))


@pytest.fixture
def project(tmp_path):
    """Three films, "-t" to train on, "v" to test on and "idle" without boxes; the annotations know others, too."""
    for video in ("-t", "v", "idle"):
        archive(tmp_path, video)
    contents = {
        "ground_truth_train": "-t,0902,0.1,0.1,0.5,0.5,12,0\n-t,0902,0.1,0.1,0.5,0.5,80,0\nother,0902,0,0,1,1,1,0\n",
        "boxes_train": "-t,0903,0.1,0.1,0.5,0.5,,0.95\n-t,0904,0.1,0.1,0.5,0.5,3,0.89\n-t,0901,0,0,1,1,5,0.99\n",
        "ground_truth": "v,0902,0.1,0.1,0.5,0.5,12,0\nv,0904,0.1,0.1,0.5,0.5,12,0\nelsewhere,0902,0,0,1,1,1,0\n",
        "boxes_val": "v,0903,0.2,0.2,0.5,0.5,,0.9\nv,0902,0.2,0.2,0.5,0.5,,0.9\nelsewhere,0902,0,0,1,1,,0.99\n",
    }
    contents |= {"excluded": "v,0905\n", "label_map": 'item {\n  name: "stand"\n  id: 12\n}\n'}
    for name, content in contents.items():
        (tmp_path / FILES[name]).write_text(content)
    return tmp_path


def make_lists(project, videos=("-t", "v", "idle"), films=None):
    annotations = {name: project / file for name, file in FILES.items()}
    output = {name: project / f"list_{name}.csv" for name in ("frames", "train", "val")}
    films = films or frames_in_archives(*([f"{project}/{video}.{kind}" for video in videos] for kind in ("tar", "npy")))
    list_ava(films, annotations, output, **SETTINGS)
    return output


def test_lists_hold_what_is_selected_and_the_log_names_the_rest(project, caplog):
    caplog.set_level(logging.INFO)
    output = make_lists(project)
    rows = {name: list(csv.reader(path.open())) for name, path in output.items()}
    assert rows["train"][1:] == [
        ["-t", "902", "4", "0.1", "0.1", "0.5", "0.5", "12 80", ""],
        ["-t", "903", "6", "0.1", "0.1", "0.5", "0.5", "", "0.95"],
    ]
    assert [row[:3] for row in rows["val"][1:]] == [["v", "902", "4"], ["v", "903", "6"]]
    assert [row[:2] for row in rows["frames"]] == [["video", "frames"], ["-t", "20"], ["v", "20"]]
    assert FrameArchive(output["frames"]).count("-t") == 20
    assert len(ava_lists.read_list(output["train"])) == 2
    for said in (
        "skipped 1 films selected, which have no boxes: idle",
        "train: skipped 1 rows of 1 films that are not selected: other",
        "train: skipped 1 rows of 1 seconds outside the window: 901",
        "val: skipped 1 rows of 1 films that are not selected: elsewhere",
        "of these 1 have no person box; 1 more have one",
        "train: 1 films, 2 key seconds, 2 boxes, 2 labels of 2 actions",
    ):
        assert said in caplog.text


def test_loose_frames_need_no_index(project):
    (project / "videos.csv").write_text("video,frames,first\n-t,20,0\nv,20,0\n")
    output = make_lists(project, films=frames_in_folder(project / "frames", project / "videos.csv", "_"))
    frames = FrameArchive(output["frames"])
    (project / "frames" / "v").mkdir(parents=True)
    (project / "frames" / "v" / "v_000003.jpg").write_bytes(b"third")
    assert frames.read("v", 2) == b"third"


def test_a_film_that_ends_before_its_boxes_is_named(project):
    archive(project, "-t", frames=6)
    with pytest.raises(InputError, match="-t: has 6 frames, but boxes at second 903, which is frame 6"):
        make_lists(project)


def test_an_archive_that_ends_early_is_named(project):
    (project / "v.tar").write_bytes(bytes(19))
    with pytest.raises(InputError, match=r"v\.tar: ends at byte 19, but .*v\.npy has a frame up to 20"):
        make_lists(project)


def test_a_film_in_both_splits_is_named(project):
    with (project / "boxes_val.csv").open("a") as file:
        file.write("-t,0902,0.2,0.2,0.5,0.5,,0.9\n")
    with pytest.raises(InputError, match="-t: boxes in both the training and the test files"):
        make_lists(project)


def test_a_selection_without_boxes_is_refused(project):
    with pytest.raises(InputError, match=r"boxes_val\.csv: expected boxes of the 2 films selected.*got none in 3 rows"):
        make_lists(project, videos=["-t", "idle"])


def test_ground_truth_of_other_films_is_refused(project):
    (project / "ground_truth.csv").write_text("elsewhere,0902,0,0,1,1,1,0\n")
    with pytest.raises(InputError, match="has no box of the 1 test films"):
        make_lists(project)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("ground_truth_train", "", r"ground_truth_train\.csv: expected boxes of the 3 films.*got none in 0 rows"),
        ("boxes_train", "", r"boxes_train\.csv: expected boxes of the 3 films.*got none in 0 rows with a score"),
        (
            "boxes_train",
            "v,0903,0.1,0.1,0.5,0.5,,0.8\n",
            r"boxes_train\.csv: expected boxes.*got none in 0 rows with a",
        ),
        ("ground_truth", "v,0902,0.5,0.1,0.1,0.5,12,0\n", r"ground_truth\.csv, line 1: a box without extent"),
        ("ground_truth", "v,0902,0.1,0.1,0.5,0.5,12,anna\n", r"ground_truth\.csv, line 1: person is 'anna', not a"),
        (
            "label_map",
            'name: "a"\nname: "b"\nid: 2\n',
            r"label_map\.pbtxt, line 2: a name, but 'a' before it has no id",
        ),
        ("excluded", "v,0905\nv,0906,1\n", r"excluded\.csv, line 2: 3 columns, not 2"),
        ("label_map", "<html>\n", r"label_map\.pbtxt: holds no class"),
        ("label_map", 'name: "fly"\nid: 81\n', r"label_map\.pbtxt: action 81 is not one of 1"),
        ("label_map", 'name: "fly"\nid: 0\n', r"label_map\.pbtxt: action 0 is not one"),
    ],
)
def test_files_of_the_score_are_looked_at_before_training(project, file, content, words):
    (project / FILES[file]).write_text(content)
    with pytest.raises(InputError, match=words):
        make_lists(project)


def test_detections_without_extent_are_logged(project, caplog):
    caplog.set_level(logging.INFO)
    with (project / "boxes_val.csv").open("a") as file:
        file.write("v,0904,0.5,0.2,0.5,0.5,,0.95\nv,0904,0.6,0.2,0.5,0.5,,0.95\nv,0904,0.6,0.2,0.5,0.5,,0.5\n")
    rows = list(csv.reader(make_lists(project)["val"].open()))
    assert [row[1] for row in rows[1:]] == ["902", "903"]
    said = "val: skipped 2 rows of 1 files of detections, boxes without extent (x1 >= x2 or y1 >= y2): "
    assert said + str(project / "boxes_val.csv") in caplog.text


def test_nothing_is_written_under_a_final_name_when_files_are_wrong(project):
    (project / "ground_truth.csv").write_text("<html>\n")
    with pytest.raises(InputError, match=r"ground_truth\.csv, line 1: this is an HTML page"):
        make_lists(project)
    assert not list(project.glob("list_*"))
