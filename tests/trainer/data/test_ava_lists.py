"""AVA's lists: boxes and actions of box files as published, and what is refused."""

import csv

import numpy as np
import pytest

from tests.helpers.ava_list import write_list
from tests.helpers.loader_data import expected
from trainer.data import ava_lists
from trainer.utils.errors import InputError

BOX_FILES = expected("ava_box_files.json")
VIDEOS = ["v1", "v2"]


@pytest.fixture
def files(tmp_path):
    """The box files of the expected results: ground truth and detections."""
    for name in ("gt", "pred"):
        (tmp_path / f"{name}.csv").write_text("\n".join(BOX_FILES[f"{name}_lines"]) + "\n")
    return (tmp_path / "gt.csv", None), (tmp_path / "pred.csv", BOX_FILES["threshold"])


@pytest.mark.parametrize(
    ("case", "names", "every"),
    [
        ("pred_only_test", ["pred"], 1),
        ("pred_only_val_every_4th_second", ["pred"], 4),
        ("gt_then_pred_train", ["gt", "pred"], 1),
    ],
)
def test_boxes_and_targets_are_the_published_ones(tmp_path, files, case, names, every):
    wanted = BOX_FILES[case]
    sources = [source for source in files if source[0].stem in names]
    boxes, skipped = ava_lists.collect_boxes(sources, VIDEOS, ava_lists.key_seconds(900, 1801))
    assert not skipped
    table = ava_lists.read_list(write_list(tmp_path / "list.csv", boxes), every)

    key_frames = [[VIDEOS.index(v), s, c] for v, s, c in zip(table.videos, table.seconds, table.centers, strict=True)]
    assert key_frames == wanted["keyframes_video_index_second_center"]
    assert len(table.boxes) == wanted["boxes_used"]
    for k, (video, second, _) in enumerate(key_frames):
        mine = slice(table.first[k], table.first[k + 1])
        of_second = wanted["boxes_and_labels"][VIDEOS[video]][str(second)]
        assert table.boxes[mine].tolist() == [box for box, _ in of_second]
        actions = [sorted({label for label in labels if label != -1}) for _, labels in of_second]
        assert [(np.flatnonzero(row) + 1).tolist() for row in table.targets[mine]] == actions


def test_the_list_keeps_texts_repeats_and_boxes_without_an_action(tmp_path, files):
    boxes, _ = ava_lists.collect_boxes(files, VIDEOS, ava_lists.key_seconds(900, 1801))
    rows = list(csv.DictReader(write_list(tmp_path / "list.csv", boxes).open()))
    first = rows[0]
    assert list(first.values())[:7] == ["v1", "902", "60", "0.867", "0.163", "0.903", "0.730"]
    assert first["labels"] == "79 12 12 79"
    (tmp_path / "pred.csv").write_text("v1,0902,0.10,0.2,0.3,0.4,,0.95\nv1,0902,0.1,0.2,0.3,0.4,-1,0.95\n")
    boxes, _ = ava_lists.collect_boxes([files[1]], VIDEOS, ava_lists.key_seconds(900, 1801))
    assert [row[3:] for row in ava_lists.list_rows(boxes, 900, 30)] == [
        ("0.10", "0.2", "0.3", "0.4", "", "0.95"),  # told apart by their texts
        ("0.1", "0.2", "0.3", "0.4", "", "0.95"),
    ]


def test_rows_of_other_videos_and_seconds_are_counted(files):
    boxes, skipped = ava_lists.collect_boxes(files, ["v2"], range(903, 1000))
    assert skipped == {("video", "v1"): 30, ("second", 902): 6, ("second", 1798): 11}
    assert list(boxes) == ["v2"]
    assert sorted(boxes["v2"]) == [903, 905, 908]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("v1,0902,0.1,0.2,0.3,0.4,12", "line 2: 7 columns instead of 8"),
        ("v1,0902,0.1,0.2,0.3,0.4,12,0.99,5", "line 2: 9 columns instead of 8"),
        ("v1,0902,0.1,0.2,x,0.4,12,0.99", "line 2: could not convert"),
        ("v1,0902,0.1,0.2,nan,0.4,12,0.99", "line 2: a coordinate of 0.1, 0.2, nan, 0.4 is no fraction of the frame"),
        ("v1,0902,64,48,320,240,12,0.99", "line 2: a coordinate of 64, 48, 320, 240 is no fraction of the frame"),
        ("v1,1000000000,0.1,0.2,0.3,0.4,12,0.99", r"line 2: second 1000000000 is not one of 0\.\.99999"),
        ("v1,-5,0.1,0.2,0.3,0.4,12,0.99", r"line 2: second -5 is not one of 0\.\.99999"),
        ("v1,0902,0.1,0.2,0.3,0.4,12,nan", "line 2: score nan is not between 0 and 1"),
        ("v1,0902,0.1,0.2,0.3,0.4,12,7", "line 2: score 7 is not between 0 and 1"),  # a person: this is ground truth
        ("\x1b[2J,0902,0.1,0.2,x,0.4,12,0.99", r"line 2: a control character \('\\x1b'\); delete it"),
        ('"' + "v1,0902\n" * 20_000, r"line \d+: field larger than field limit"),
        ("v1,0902,0.1,0.2,0.3,0.4,81,0.99", r"line 2: action 81 is not one of 1\.\.80"),
        ("v1,0902,0.1,0.2,0.3,0.4,12,high", "line 2: could not convert"),
        (
            "<html><body>gone</body></html>",
            "line 2: this is an HTML page, not a box file; delete it and",
        ),
    ],
)
def test_a_wrong_row_is_reported_by_its_line(tmp_path, row, message):
    path = tmp_path / "boxes.csv"
    path.write_text(f"v1,0902,0.1,0.2,0.3,0.4,12,0.99\n{row}\n")
    with pytest.raises(InputError, match=rf"boxes\.csv, {message}"):
        list(ava_lists.read_box_file(path, 0.9))


@pytest.mark.parametrize("corners", ["0.3,0.2,0.1,0.4", "0.1,0.4,0.3,0.2", "0.1,0.2,0.1,0.4", "0.1,0.2,0.3,0.2"])
def test_boxes_without_extent_are_refused_in_ground_truth_and_counted_among_detections(tmp_path, corners):
    path = tmp_path / "boxes.csv"
    path.write_text(f"v1,0902,0.1,0.2,0.3,0.4,12,0.99\nv1,0903,{corners},12,0.95\nv1,0904,{corners},12,0.1\n")
    with pytest.raises(InputError, match=r"boxes\.csv, line 2: a box without extent, expected x1 < x2 and y1 < y2"):
        list(ava_lists.read_box_file(path))
    boxes, skipped = ava_lists.collect_boxes([(path, 0.9)], VIDEOS, range(902, 905))
    assert skipped == {("box", str(path)): 1}
    assert list(boxes["v1"]) == [902]


def test_the_first_row_is_read_after_a_byte_order_mark(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text("v1,0902,0.1,0.2,0.3,0.4,12,0.99\n", "utf-8-sig")
    assert next(ava_lists.read_box_file(path))[:2] == ("v1", 902)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_other_encodings_are_refused(tmp_path, encoding):
    path = tmp_path / "boxes.csv"
    path.write_text("v1,0902,0.1,0.2,0.3,0.4,12,0.99\n", encoding)
    with pytest.raises(InputError, match=r"boxes\.csv.*expected UTF-8"):
        list(ava_lists.read_box_file(path))


@pytest.mark.parametrize(
    ("content", "min_score", "words"),
    [
        ("", None, "got none in 0 rows. Select films"),
        ("", 0.9, r"got none in 0 rows with a score of at least 0\.9"),
        ("v1,0902,0.1,0.2,0.3,0.4,12,0.89\n", 0.9, r"got none in 0 rows with a score of at least 0\.9"),
        ("other,0902,0.1,0.2,0.3,0.4,12,0.99\nv1,0901,0.1,0.2,0.3,0.4,12,0.99\n", None, "got none in 2 rows"),
        ("v1,0902,0.3,0.2,0.3,0.4,12,0.99\n", 0.9, "got none in 1 rows"),
    ],
)
def test_a_file_without_a_box_to_use_is_refused(tmp_path, files, content, min_score, words):
    path = tmp_path / "boxes.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=rf"boxes\.csv: expected boxes of the 2 films selected.*{words}"):
        ava_lists.collect_boxes([files[0], (path, min_score)], VIDEOS, ava_lists.key_seconds(900, 1801))


def test_key_seconds_of_the_published_window():
    seconds = ava_lists.key_seconds(900, 1801)
    assert (seconds[0], seconds[-1]) == (902, 1798)


def test_wrong_lists(tmp_path):
    with pytest.raises(InputError, match="no such list"):
        ava_lists.read_list(tmp_path / "none.csv")
    (tmp_path / "other.csv").write_text("video,frames\n")
    with pytest.raises(InputError, match="its columns must be video,second,center"):
        ava_lists.read_list(tmp_path / "other.csv")
    (tmp_path / "empty.csv").write_text(",".join(ava_lists.COLUMNS) + "\na,903,90,0,0,1,1,,\n")
    assert len(ava_lists.read_list(tmp_path / "empty.csv")) == 1
    with pytest.raises(InputError, match="no box in it at a second divisible by 4"):
        ava_lists.read_list(tmp_path / "empty.csv", 4)


@pytest.mark.parametrize(
    "row",
    [
        "a,9x3,90,0,0,1,1,,",
        "a,903,99999999999999999999,0,0,1,1,,",
        "a,903,-1,0,0,1,1,,",
        "a,903,90,0,0,nan,1,,",
        "a,903,90,0,0,x,1,,",
        "a,903,90,0,0,1,1,0,",
        "a,903,90,0,0,1,1,81,",
        "a,903,90,0,0,1,1,x,",
        "a,903,90,0,0,1,1,1,high",
        "a,903",
        "\0" * 100,
        "é",
    ],
)
def test_a_damaged_list_is_named(tmp_path, row):
    (tmp_path / "list.csv").write_text(",".join(ava_lists.COLUMNS) + f"\na,902,60,0,0,1,1,1,\n{row}\n", "latin-1")
    with pytest.raises(InputError, match=r"list\.csv: damaged \(.*\); delete it to write it again"):
        ava_lists.read_list(tmp_path / "list.csv")


def test_a_run_sees_the_ground_truth_and_detections_from_its_score_on(tmp_path):
    rows = ["902,60,0,0,1,1,1,", "902,60,0,0,1,0.5,2,0.85", "903,90,0,0,1,1,3,0.85", "904,120,0,0,1,1,4,0.95"]
    path = tmp_path / "list.csv"
    path.write_text("\n".join([",".join(ava_lists.COLUMNS), *(f"a,{row}" for row in rows)]) + "\n")
    listed = ava_lists.read_list(path, min_score=0.9)
    assert listed.seconds.tolist() == [902, 904]
    assert listed.scores.tolist() == pytest.approx([np.nan, 0.95], nan_ok=True)
    assert ava_lists.read_list(path, min_score=0.85).first.tolist() == [0, 2, 3, 4]
    true = ava_lists.read_list(path, detections=False)
    assert (true.seconds.tolist(), true.boxes.tolist()) == ([902], [[0, 0, 1, 1]])
    with pytest.raises(InputError, match=r"no box in it at a second divisible by 4 with a score of at least 0\.99"):
        ava_lists.read_list(tmp_path / "list.csv", 4, min_score=0.99)


def test_an_empty_list_is_named(tmp_path):
    (tmp_path / "list.csv").write_text("")
    with pytest.raises(InputError, match=r"list\.csv: damaged \(.*\); delete it"):
        ava_lists.read_list(tmp_path / "list.csv")
