"""Test examples for the report page: frames, boxes, annotated actions and the predictions of one run."""

import base64
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
import simplejpeg

from trainer import config
from trainer.data.clips import indices_around
from trainer.data.frame_archive import FrameArchive
from trainer.data.jpeg import decode
from trainer.metrics import ava_csv
from trainer.metrics.ava import box_iou
from trainer.run_files import read_arrays
from trainer.utils.errors import InputError
from workflow.lib.report.results import Results, mean_map, read_per_class

EXAMPLES = 4  # of a dataset
STRIP_FRAMES = 5  # of an example, evenly spaced over its clip or video
TOP_PREDICTIONS = 5  # of a person or video
KEY_FRAME_SIDE, STRIP_SIDE = 480, 200  # pixels, the longest side of a frame
MATCH_IOU = 0.5  # from which a detection counts as the person of an annotated box


@dataclass(frozen=True)
class Prediction:
    name: str  # of the class
    score: float
    annotated: bool


@dataclass(frozen=True)
class Subject:
    """A scored person or video."""

    box: tuple[float, ...] | None  # x1, y1, x2, y2 as fractions of the frame; None: the whole video
    labels: list[str]  # annotated classes
    predictions: list[Prediction]  # by descending score


@dataclass(frozen=True)
class Example:
    title: str
    image: str | None  # the frame of the boxes, as a data URI
    strip: list[str]  # frames in the order of time, as data URIs
    subjects: list[Subject]


@dataclass(frozen=True)
class RunExamples:
    """Examples of one run's predictions."""

    title: str  # of the dataset, and the group where there are several
    method: str  # label
    examples: list[Example]
    missing: str = ""  # why there are none


def best_run_examples(results: Results) -> RunExamples:
    """Return examples of the best run of the method with the highest mean mAP; ``results``: of one group."""
    best = mean_map(results).idxmax()
    runs = results.runs[results.runs.method == best]
    title, label = results.heading, results.methods.label[best]
    try:
        return RunExamples(title, label, run_examples(runs.folder[runs["mAP"].idxmax()]))
    except (InputError, OSError) as error:  # e.g. frames or lists that were deleted after the training
        return RunExamples(title, label, [], str(error))


def run_examples(folder, count=EXAMPLES) -> list[Example]:
    """Return at most ``count`` examples, evenly spaced over the test set; raise InputError if frames are missing."""
    run = config.load(f"{folder}/config.yaml")
    predictions = read_arrays(f"{folder}/predictions.npz", "video", "score")
    frames = FrameArchive(run.data.frames)
    if "box" in predictions:
        return key_second_examples(run, predictions, frames, count)
    return video_examples(predictions, frames, read_per_class(folder).name.tolist(), count)


def key_second_examples(run, predictions, frames, count) -> list[Example]:
    """Return key seconds with annotations: the key frame and every person's box."""
    names = ava_csv.read_label_map(run.data.label_map)
    truth = ava_csv.read_ground_truth(run.data.ground_truth)
    truth_videos, excluded = truth.videos[truth.video], ava_csv.read_exclusions(run.data.excluded)
    annotated = set(zip(truth_videos, truth.second.tolist(), strict=True)) - excluded
    seconds = pd.read_csv(run.data.test, dtype={"video": str}, keep_default_na=False).drop_duplicates(
        ["video", "second"]
    )
    seconds = seconds[[key in annotated for key in zip(seconds.video, seconds.second, strict=True)]]

    examples = []
    for row in evenly_spaced(list(seconds.itertuples()), count):
        true = np.flatnonzero((truth_videos == row.video) & (truth.second == row.second))
        here = np.flatnonzero((predictions["video"] == row.video) & (predictions["second"] == row.second))
        subjects = []
        for box, scores in zip(predictions["box"][here], predictions["score"][here], strict=True):
            actions = truth.action[true[box_iou(box[None], truth.box[true]) >= MATCH_IOU]]
            labels = {names[action] for action in actions.tolist() if action in names}
            subjects.append(subject(box, labels, {name: scores[number - 1] for number, name in names.items()}))
        clip, available = run.clip, frames.count(row.video)
        shown = indices_around(row.center, clip.num_frames, clip.stride, available, clip.lead)
        strip = frame_strip(frames, row.video, shown)
        image = data_uri(frames, row.video, row.center, KEY_FRAME_SIDE)
        examples.append(Example(f"{row.video}, second {row.second}", image, strip, subjects))
    return examples


def video_examples(predictions, frames, names, count) -> list[Example]:
    """Return videos with an annotated action; ``names``: of the classes, in order."""
    examples = []
    for row in evenly_spaced(np.flatnonzero(predictions["target"].any(axis=1)).tolist(), count):
        video = str(predictions["video"][row])
        labels = {names[number] for number in np.flatnonzero(predictions["target"][row])}
        scores = dict(zip(names, predictions["score"][row], strict=True))
        strip = frame_strip(frames, video, np.arange(frames.count(video)))
        examples.append(Example(video, None, strip, [subject(None, labels, scores)]))
    return examples


def subject(box, labels, scores) -> Subject:
    """Return a subject with its best predictions; ``labels``: annotated names; ``scores``: by name."""
    best = sorted(scores, key=scores.get, reverse=True)[:TOP_PREDICTIONS]
    box = None if box is None else tuple(np.clip(box, 0, 1).tolist())
    return Subject(box, sorted(labels), [Prediction(name, float(scores[name]), name in labels) for name in best])


def evenly_spaced(items, count) -> list:
    """Return at most ``count`` of the items, the first and last included."""
    places = np.linspace(0, len(items) - 1, min(count, len(items)))
    return [items[round(place)] for place in places.tolist()]


def frame_strip(frames, video, indices) -> list[str]:
    return [data_uri(frames, video, i, STRIP_SIDE) for i in evenly_spaced(indices.tolist(), STRIP_FRAMES)]


def data_uri(frames, video, i, side) -> str:
    """Return a frame as a data URI, its longest side at most ``side`` pixels."""
    pixels = decode(frames.read(video, i), f"frame {i} of {video}")
    scale = min(1, side / max(pixels.shape))
    size = [max(1, round(length * scale)) for length in pixels.shape[1::-1]]
    small = np.ascontiguousarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
    return "data:image/jpeg;base64," + base64.b64encode(simplejpeg.encode_jpeg(small, quality=80)).decode()
