import csv

import numpy as np
import pytest
import simplejpeg

from tests.loader_data import FramesInMemory, clip_config, expected
from trainer.data import ava
from trainer.data.transforms import whole_view
from trainer.errors import InputError

BOX_FILES = expected("ava_box_files.json")
VIDEOS = ["v1", "v2"]


@pytest.fixture
def files(tmp_path):
    """The box files of the expected results: ground truth and detections."""
    for name in ("gt", "pred"):
        (tmp_path / f"{name}.csv").write_text("\n".join(BOX_FILES[f"{name}_lines"]) + "\n")
    return (tmp_path / "gt.csv", None), (tmp_path / "pred.csv", BOX_FILES["threshold"])


def write_list(path, boxes):
    with path.open("w", newline="") as output:
        writer = csv.writer(output, lineterminator="\n")
        writer.writerow(ava.COLUMNS)
        writer.writerows(ava.list_rows(boxes, start=900, fps=30))
    return path


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
    boxes, left_out = ava.collect_boxes(sources, VIDEOS, ava.key_seconds(900, 1801))
    assert not left_out
    table = ava.read_list(write_list(tmp_path / "list.csv", boxes), every)

    key_frames = [[VIDEOS.index(v), s, c] for v, s, c in zip(table.videos, table.seconds, table.centres, strict=True)]
    assert key_frames == wanted["keyframes_video_index_second_center"]
    assert len(table.boxes) == wanted["boxes_used"]
    for k, (video, second, _) in enumerate(key_frames):
        mine = slice(table.first[k], table.first[k + 1])
        of_second = wanted["boxes_and_labels"][VIDEOS[video]][str(second)]
        assert table.boxes[mine].tolist() == [box for box, _ in of_second]
        actions = [sorted({label for label in labels if label != -1}) for _, labels in of_second]
        assert [(np.flatnonzero(row) + 1).tolist() for row in table.targets[mine]] == actions


def test_the_list_keeps_texts_repeats_and_boxes_without_an_action(tmp_path, files):
    boxes, _ = ava.collect_boxes(files, VIDEOS, ava.key_seconds(900, 1801))
    rows = list(csv.DictReader(write_list(tmp_path / "list.csv", boxes).open()))
    first = rows[0]
    assert [first[column] for column in ava.COLUMNS[:7]] == ["v1", "902", "60", "0.867", "0.163", "0.903", "0.730"]
    assert first["labels"] == "79 12 12 79"
    (tmp_path / "pred.csv").write_text("v1,0902,0.10,0.2,0.3,0.4,,0.95\nv1,0902,0.1,0.2,0.3,0.4,-1,0.95\n")
    boxes, _ = ava.collect_boxes([files[1]], VIDEOS, ava.key_seconds(900, 1801))
    assert [row[3:] for row in ava.list_rows(boxes, 900, 30)] == [
        ("0.10", "0.2", "0.3", "0.4", ""),  # told apart by their texts
        ("0.1", "0.2", "0.3", "0.4", ""),
    ]


def test_rows_of_other_videos_and_seconds_are_counted(files):
    boxes, left_out = ava.collect_boxes(files, ["v2"], range(903, 1000))
    assert left_out == {("video", "v1"): 30, ("second", 902): 6, ("second", 1798): 11}
    assert list(boxes) == ["v2"]
    assert sorted(boxes["v2"]) == [903, 905, 908]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("v1,0902,0.1,0.2,0.3,0.4,12", "line 2: 7 columns instead of 8"),
        ("v1,0902,0.1,0.2,0.3,0.4,12,0.99,5", "line 2: 9 columns instead of 8"),
        ("v1,0902,0.1,0.2,x,0.4,12,0.99", "line 2: could not convert"),
        ("v1,0902,0.1,0.2,nan,0.4,12,0.99", "line 2: a coordinate of 0.1, 0.2, nan, 0.4 is no number"),
        ("v1,0902,0.1,0.2,0.3,0.4,81,0.99", r"line 2: action 81 is not one of 1\.\.80"),
        ("v1,0902,0.1,0.2,0.3,0.4,12,high", "line 2: could not convert"),
        (
            "<html><body>gone</body></html>",
            "line 2: this is an HTML page, not a box file; delete it and",
        ),
    ],
)
def test_a_wrong_row_is_named(tmp_path, row, message):
    path = tmp_path / "boxes.csv"
    path.write_text(f"v1,0902,0.1,0.2,0.3,0.4,12,0.99\n{row}\n")
    with pytest.raises(InputError, match=rf"boxes\.csv, {message}"):
        list(ava.read_box_file(path, 0.9))


def test_clip_indices_are_the_published_ones():
    for case in expected("ava_clips.json")["clips"]:
        centre = case["center"] if "center" in case else (case["second"] - 900) * 30
        assert ava.clip_indices(centre, 32, 2, case["frames_available"]).tolist() == case["indices"]


def test_key_seconds_of_the_published_window():
    seconds = ava.key_seconds(900, 1801)
    assert (seconds[0], seconds[-1]) == (902, 1798)


@pytest.fixture
def two_films(tmp_path):
    """Frames and list of two films of different sizes, names that other readers take for numbers or options."""
    frames = FramesInMemory(**{"-1e5": (200, 36, 64), "nan": (200, 48, 40)})
    boxes = {
        "-1e5": {
            902: {("0.1", "0.2", "0.9", "1.010"): [12, 12], ("0", "0", "0.5", "0.5"): []},
            904: {("0", "0", "1", "1"): [80]},
        },
        "nan": {903: {("0.25", "0.25", "0.75", "0.75"): [1]}},
    }
    return ava.read_list(write_list(tmp_path / "list.csv", boxes)), frames


def test_a_test_clip(two_films):
    table, frames = two_films
    clips = ava.AvaClips(table, frames, clip_config(), lambda *size: whole_view(*size, 16))
    assert len(clips) == 3
    sample = clips[0]
    assert (sample.name, sample.row) == ("-1e5 second 902", 0)
    assert sample.clip.shape == (4, 16, 28, 3)
    np.testing.assert_allclose(sample.origins, [[0.1, 0.2, 0.9, 1.01], [0, 0, 0.5, 0.5]], rtol=1e-7)
    assert sample.boxes[0, 3] == 15  # clipped, unlike the origin
    assert sample.targets.nonzero().tolist() == [[0, 11]]
    assert [frame for _, frame in frames.reads] == [56, 58, 60, 62]
    assert clips.sizes() == [(36, 64), (36, 64), (48, 40)]


def test_a_training_clip_depends_on_epoch_and_row_alone(two_films):
    table, frames = two_films
    clips = ava.AvaTrainingClips(table, frames, clip_config(), seed=0)
    first = clips[2, 1]
    assert first.clip.shape == (4, 16, 16, 3)
    assert first.name == "-1e5 second 904"
    assert clips[2, 1].clip.equal(first.clip)
    assert not clips[3, 1].clip.equal(first.clip)
    assert not ava.AvaTrainingClips(table, frames, clip_config(), seed=1)[2, 1].clip.equal(first.clip)


def test_frames_of_another_size_are_named(two_films):
    table, frames = two_films
    frames.content["nan"][90] = simplejpeg.encode_jpeg(np.zeros((40, 40, 3), np.uint8))
    clips = ava.AvaTrainingClips(table, frames, clip_config(), seed=0)
    with pytest.raises(InputError, match="nan: frame 90 is 40x40, frame 86 is 40x48"):
        clips[0, 2]


def test_a_list_that_is_none(tmp_path):
    with pytest.raises(InputError, match="no such list"):
        ava.read_list(tmp_path / "none.csv")
    (tmp_path / "other.csv").write_text("video,frames\n")
    with pytest.raises(InputError, match="its columns must be video,second,centre"):
        ava.read_list(tmp_path / "other.csv")
    (tmp_path / "empty.csv").write_text(",".join(ava.COLUMNS) + "\na,903,90,0,0,1,1,\n")
    assert len(ava.read_list(tmp_path / "empty.csv")) == 1
    with pytest.raises(InputError, match="no box in it at a second divisible by 4"):
        ava.read_list(tmp_path / "empty.csv", 4)
