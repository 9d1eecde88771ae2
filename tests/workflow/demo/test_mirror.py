"""The mirror has the formats, names and quirks of the published files, and annotations match the drawn frames."""

import csv
import re
import tarfile
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
import simplejpeg
from av.video.frame import PictureType

from tests.helpers.config import read_yaml
from tests.helpers.paths import MIRROR
from trainer.utils.errors import InputError
from workflow.demo import mirror
from workflow.demo.films import FILMS, Film
from workflow.demo.scenes import ACTIONS, Appearance, Scene

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not (MIRROR / "Charades_v1_rgb.tar").exists(), reason="no mirror; run `make demo` first"),
]

START, STOP = mirror.WINDOW
BOXES = "person_box_67091280_iou90"


@pytest.fixture(scope="module")
def ava():
    """A folder with the whole AVA part: trainval/ and ava_annotations.tar."""
    return MIRROR


@pytest.fixture(scope="module")
def annotations(ava):
    """Name to rows of every file of ava_annotations.tar."""
    with tarfile.open(ava / "ava_annotations.tar") as archive:
        return {member.name: archive.extractfile(member).read().decode().splitlines() for member in archive}


@dataclass(frozen=True)
class Probe:
    types: Counter  # of frames: I, P, B
    times: np.ndarray  # s from the film's first timestamp
    first_timestamp: float  # s
    rate: str
    codec: str
    size: tuple[int, int]
    sounds: int


def probe(path):
    # everything is read while the container is open: a stream of a closed one is freed memory
    with av.open(f"file:{path}") as container:
        video = container.streams.video[0]
        start = container.start_time / av.time_base
        frames = [(PictureType(frame.pict_type).name, frame.time - start) for frame in container.decode(video)]
        types, times = zip(*frames, strict=True)
        return Probe(
            Counter(types),
            np.array(times),
            start,
            str(video.average_rate),
            video.codec_context.name,
            (video.width, video.height),
            len(container.streams.audio),
        )


def rows_of(lines):
    return list(csv.reader(lines))


@pytest.mark.parametrize("film", FILMS, ids=lambda film: film.name)
def test_a_film_decodes_and_is_longer_than_the_window_on_both_sides(ava, film):
    found = probe(ava / "trainval" / film.name)
    assert found.times[0] < START - 2 and found.times[-1] > STOP + 2
    assert np.all(np.diff(found.times) > 0)
    assert found.rate == film.rate
    assert found.size == (film.width, film.height)
    assert found.sounds == 1
    assert found.types["I"] > 3  # several groups of pictures
    if film.name.endswith(".webm"):
        assert found.codec == "vp9"
    else:
        assert found.codec == "h264" and found.types["B"] > 100
    assert found.first_timestamp == pytest.approx(film.first_timestamp, abs=0.03)


def test_films_are_as_varied_as_the_published_ones():
    assert {Path(film.name).suffix for film in FILMS} == {".mkv", ".mp4", ".webm"}
    assert {film.rate for film in FILMS} == {"24000/1001", "25", "30000/1001", "30"}
    assert all(len(film.video) == 11 for film in FILMS)
    assert sum(film.name.startswith("-") for film in FILMS) == 2
    assert any(film.width < film.height for film in FILMS)
    assert any(film.first_timestamp > 0 for film in FILMS)


def test_the_config_lists_the_films():
    assert read_yaml("demo.yaml")["ava"]["films"] == [film.name for film in FILMS]


def test_a_box_of_the_ground_truth_holds_the_color_of_its_action(ava, annotations):
    colors = {12: None}  # standing and waving people both stand
    colors |= {ids[-1]: ACTIONS[name].color for name, ids in mirror.ACTION_IDS.items() if ids[-1] != 12}
    for film in FILMS:
        frames = frames_at_key_seconds(ava / "trainval" / film.name)
        rows = rows_of(annotations[f"ava_annotations/ava_{film.split}_v2.2.csv"])
        for _, second, *box, action, _ in (row for row in rows if row[0] == film.video):
            if (color := colors.get(int(action))) is not None:
                frame = frames[int(second)]
                x1, y1, x2, y2 = (np.array(box, float) * np.tile(frame.shape[1::-1], 2)).astype(int)
                near = np.abs(frame[y1:y2, x1:x2].astype(int) - color).max(axis=-1) < 40
                assert near.mean() > 0.05, (film.name, second, action)  # of a runner at the border, little is seen


def frames_at_key_seconds(path):
    with av.open(f"file:{path}") as container:
        start = container.start_time / av.time_base
        frames = {}
        for frame in container.decode(video=0):
            second = round(frame.time - start)
            if second not in frames and frame.time - start >= second - 0.01:
                frames[second] = frame.to_ndarray(format="rgb24")
        return frames


def test_annotations_hold_the_files_that_are_used(annotations):
    assert {
        "ava_annotations/ava_train_v2.2.csv",
        "ava_annotations/ava_val_v2.2.csv",
        "ava_annotations/ava_val_excluded_timestamps_v2.2.csv",
        "ava_annotations/ava_action_list_v2.2_for_activitynet_2019.pbtxt",
        f"ava_annotations/{BOXES}/ava_detection_train_boxes_and_labels_include_negative_v2.2.csv",
        f"ava_annotations/{BOXES}/ava_detection_val_boxes_and_labels.csv",
    } <= set(annotations)


@pytest.mark.parametrize("split", ["train", "val"])
def test_ground_truth_rows(annotations, split):
    rows = annotations[f"ava_annotations/ava_{split}_v2.2.csv"]
    edge = r"(?:0\.\d{3}|1\.000)"
    assert all(re.fullmatch(rf"[\w-]{{11}},\d{{4}},{edge},{edge},{edge},{edge},\d+,\d", row) for row in rows)
    table = rows_of(rows)
    assert {row[0] for row in table} == {film.video for film in FILMS if film.split == split}
    assert {int(row[1]) for row in table} == set(range(START + 2, STOP - 2))
    counts = Counter(int(row[6]) for row in table)
    assert set(counts) == {1, 10, 11, 12, 14, 69, 80} and min(counts.values()) >= 4
    assert all(float(x1) < float(x2) and float(y1) < float(y2) for _, _, x1, y1, x2, y2, *_ in table)


def test_detections_have_scores_on_both_sides_of_the_threshold_and_empty_labels(annotations):
    train = rows_of(
        annotations[f"ava_annotations/{BOXES}/ava_detection_train_boxes_and_labels_include_negative_v2.2.csv"]
    )
    val = rows_of(annotations[f"ava_annotations/{BOXES}/ava_detection_val_boxes_and_labels.csv"])
    for rows in (train, val):
        assert all(len(row) == 8 for row in rows)
        scores = np.array([float(row[7]) for row in rows])
        assert 0.05 < np.mean(scores < 0.9) < 0.5
    assert {row[6] for row in val} == {""}
    assert {"", "-1", "12", "80"} <= {row[6] for row in train}
    for video in {row[0] for row in val}:
        assert any(row[0] == video and float(row[7]) >= 0.9 for row in val)


def test_some_people_are_detected_twice_and_in_seconds_without_ground_truth(annotations):
    """By these the two protocols of AVA differ."""
    truth = rows_of(annotations["ava_annotations/ava_val_v2.2.csv"])
    found = rows_of(annotations[f"ava_annotations/{BOXES}/ava_detection_val_boxes_and_labels.csv"])
    annotated = {
        (video, second): len({person for *key, person in truth if key[:2] == [video, second]})
        for video, second, *_ in truth
    }
    people = Counter((row[0], row[1]) for row in found if float(row[7]) >= 0.9)
    excluded = set(annotations["ava_annotations/ava_val_excluded_timestamps_v2.2.csv"])
    counted = {key for key in people if ",".join(key) not in excluded}
    assert counted - annotated.keys()
    assert sum(people[key] > count for key, count in annotated.items()) >= 5


def test_label_map_and_exclusions(annotations):
    label_map = annotations["ava_annotations/ava_action_list_v2.2_for_activitynet_2019.pbtxt"]
    assert label_map[:4] == ["item {", '  name: "bend/bow (at the waist)"', "  id: 1", "}"]
    assert len(label_map) == 60 * 4
    excluded = annotations["ava_annotations/ava_val_excluded_timestamps_v2.2.csv"]
    assert excluded and all(re.fullmatch(r"[\w-]{11},\d{4}", row) for row in excluded)


def test_charades_lists():
    numbers, seen = [], Counter()
    for part, count in (("train", 40), ("val", 24)):
        lines = (MIRROR / f"frame_lists/{part}.csv").read_text().splitlines()
        assert lines[0] == "original_vido_id video_id frame_id path labels"
        assert all(re.fullmatch(r'([A-Z0-9]{5}) \d+ \d+ \1/\1-\d{6}\.jpg "(\d+(,\d+)*)?"', line) for line in lines[1:])
        table = [line.split(" ") for line in lines[1:]]
        lengths = Counter(row[0] for row in table)
        assert len(lengths) == count
        assert min(lengths.values()) < 57 < max(lengths.values()) <= 150  # a clip of the demo spans 57 frames
        assert any(row[4] == '""' for row in table) and any("," in row[4] for row in table)
        numbers += dict.fromkeys(int(row[1]) for row in table)
        labels = {row[0]: set() for row in table}
        for video, *_, label in table:
            labels[video] |= set(filter(None, label.strip('"').split(",")))
        counts = Counter(label for video in labels.values() for label in video)
        assert len(counts) == 8 and min(counts.values()) >= 3
        seen += counts
    assert numbers == list(range(64))
    assert all(int(label) < 157 for label in seen)


def test_charades_frames_are_those_of_the_lists_and_more():
    with tarfile.open(MIRROR / "Charades_v1_rgb.tar") as archive:
        names = archive.getnames()
        listed = [
            f"Charades_v1_rgb/{line.split(' ')[3]}"
            for part in ("train", "val")
            for line in (MIRROR / f"frame_lists/{part}.csv").read_text().splitlines()[1:]
        ]
        assert set(listed) < set(names)
        assert names == sorted(names)
        for name in names[::500]:
            height, width = simplejpeg.decode_jpeg(archive.extractfile(name).read()).shape[:2]
            assert max(height, width) <= 128


def test_the_same_seed_gives_the_same_files(ava, tmp_path):
    mirror.build_charades(tmp_path / "frames.tar", tmp_path / "train.csv", tmp_path / "val.csv", seed=0)
    names = {"frames.tar": "Charades_v1_rgb.tar"} | {name: f"frame_lists/{name}" for name in ("train.csv", "val.csv")}
    for name, original in names.items():
        assert (tmp_path / name).read_bytes() == (MIRROR / original).read_bytes()
    for number in (1, 2, 3):  # one of each container
        film = FILMS[number]
        mirror.encode_film(
            mirror.film_scene(np.random.default_rng([0, number]), number, film), film, tmp_path / film.name
        )
        assert (tmp_path / film.name).read_bytes() == (ava / "trainval" / film.name).read_bytes()


def test_checkpoints_lie_uncompressed_in_a_folder_per_method(tmp_path, monkeypatch):
    def write_note(layout, path, backbone, half):
        Path(path).write_text(f"{layout} {backbone} {half}")

    monkeypatch.setattr(mirror, "write_checkpoint", write_note)
    backbones = {layout: f"weights of {layout}" for layout in mirror.ARCHIVED}
    mirror.write_archive(tmp_path / "checkpoints_pretraining.zip", backbones)
    with zipfile.ZipFile(tmp_path / "checkpoints_pretraining.zip") as archive:
        assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}
        content = {member.filename: archive.read(member).decode() for member in archive.infolist()}
    assert len(content) == 9 and len(set(content.values())) == 9
    assert content["checkpoints_pretraining/moco/checkpoint_0199.pth.tar"] == "moco weights of moco True"
    assert content["checkpoints_pretraining/tclr/rpd18kin400.pth"] == "tclr weights of tclr True"
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints_pretraining.zip"]


def test_a_film_that_ffmpeg_cannot_write_is_an_error_and_leaves_nothing(tmp_path):
    odd = Scene(np.zeros((121, 161, 3), np.uint8), 0.8, ())  # yuv420p has no odd sizes
    with pytest.raises(InputError, match=r"film\.mp4: ffmpeg could not encode"):
        mirror.encode_film(odd, Film("film.mp4", "train", "25", 161, 121), tmp_path / "film.mp4")
    assert not list(tmp_path.iterdir())


def test_a_box_follows_the_person():
    background = np.zeros((120, 160, 3), np.uint8)
    person = Appearance(person=0, action="walk", start=0, stop=10)
    scene = Scene(background, 0.8, (person,))
    for t in (0.3, 2.9):
        ys, xs = np.nonzero(scene.draw(t).any(axis=-1))
        drawn = np.array([xs.min() / 160, ys.min() / 120, (xs.max() + 1) / 160, (ys.max() + 1) / 120])
        assert np.all(np.abs(scene.box(person, t) - drawn) < 0.1)
    assert scene.box(person, 0.3)[0] != scene.box(person, 2.9)[0]
    assert not scene.at(10)
