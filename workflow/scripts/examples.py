"""A few test examples to look at: frames, boxes, what is true and what a run predicts."""

import base64
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
import simplejpeg

from trainer import config
from trainer.frames import FrameArchive, decode
from trainer.metrics import ava_files
from trainer.metrics.ava import box_iou

SHOWN = 4  # examples of a dataset
STRIP = 5  # frames of an example, spread over its clip
BEST = 5  # predictions of a person or video
LARGE, SMALL = 480, 200  # pixels, the longest side of a frame
MATCH = 0.5  # IoU from which a detection counts as the person of a true box


@dataclass(frozen=True)
class Prediction:
    name: str
    score: float
    true: bool


@dataclass(frozen=True)
class Subject:
    """Who or what is scored: a person in AVA, a whole video in Charades."""

    box: tuple[float, ...] | None  # x1, y1, x2, y2 as fractions of the frame
    labels: list[str]  # what is true
    predictions: list[Prediction]  # the best first


@dataclass(frozen=True)
class Example:
    title: str
    image: str | None  # a data URI: the frame that the boxes are of
    strip: list[str]  # the same of frames in the order of time
    subjects: list[Subject]


def examples(folder) -> list[Example]:
    """Examples spread evenly over the test set of the run in ``folder``; InputError if its frames are gone."""
    run = config.load(f"{folder}/config.yaml")
    with np.load(f"{folder}/predictions.npz") as arrays:
        predictions = dict(arrays)
    frames = FrameArchive(run.data.frames)
    if run.dataset == "ava":
        return ava_examples(run, predictions, frames)
    names = pd.read_csv(f"{folder}/per_class.csv").name.tolist()
    return charades_examples(predictions, frames, names)


def ava_examples(run, predictions, frames) -> list[Example]:
    """Key seconds that have ground truth: the key frame with every person's box."""
    names = ava_files.read_label_map(run.data.label_map)
    truth = ava_files.read_ground_truth(run.data.ground_truth)
    truth_videos, excluded = truth.videos[truth.video], ava_files.read_exclusions(run.data.excluded)
    annotated = set(zip(truth_videos, truth.second.tolist(), strict=True)) - excluded
    seconds = pd.read_csv(run.data.test, dtype={"video": str}).drop_duplicates(["video", "second"])
    seconds = seconds[[key in annotated for key in zip(seconds.video, seconds.second, strict=True)]]

    found = []
    for row in spread(list(seconds.itertuples()), SHOWN):
        true = np.flatnonzero((truth_videos == row.video) & (truth.second == row.second))
        here = np.flatnonzero((predictions["video"] == row.video) & (predictions["second"] == row.second))
        subjects = []
        for box, scores in zip(predictions["box"][here], predictions["score"][here], strict=True):
            actions = truth.action[true[box_iou(box[None], truth.box[true]) >= MATCH]]
            labels = {names[action] for action in actions.tolist() if action in names}
            subjects.append(subject(box, labels, {name: scores[number - 1] for number, name in names.items()}))
        clip = row.centre + run.clip.stride * (np.arange(run.clip.frames) - run.clip.frames // 2)
        strip = picture_strip(frames, row.video, clip.clip(0, frames.count(row.video) - 1))
        image = picture(frames, row.video, row.centre, LARGE)
        found.append(Example(f"{row.video}, second {row.second}", image, strip, subjects))
    return found


def charades_examples(predictions, frames, names) -> list[Example]:
    """Whole videos that show an action."""
    found = []
    for row in spread(np.flatnonzero(predictions["target"].any(axis=1)).tolist(), SHOWN):
        video = str(predictions["video"][row])
        labels = {names[number] for number in np.flatnonzero(predictions["target"][row])}
        scores = dict(zip(names, predictions["score"][row], strict=True))
        strip = picture_strip(frames, video, np.arange(frames.count(video)))
        found.append(Example(video, None, strip, [subject(None, labels, scores)]))
    return found


def subject(box, labels, scores) -> Subject:
    """``labels``: names that are true; ``scores``: by name."""
    best = sorted(scores, key=scores.get, reverse=True)[:BEST]
    box = None if box is None else tuple(np.clip(box, 0, 1).tolist())
    return Subject(box, sorted(labels), [Prediction(name, float(scores[name]), name in labels) for name in best])


def spread(items, count) -> list:
    """``count`` of the items, evenly spaced."""
    places = np.linspace(0, len(items) - 1, min(count, len(items)))
    return [items[round(place)] for place in places.tolist()]


def picture_strip(frames, video, indices) -> list[str]:
    return [picture(frames, video, i, SMALL) for i in spread(indices.tolist(), STRIP)]


def picture(frames, video, i, side) -> str:
    """A frame as a data URI, its longest side at most ``side`` pixels."""
    pixels = decode(frames.read(video, i), f"frame {i} of {video}")
    scale = min(1, side / max(pixels.shape))
    size = [max(1, round(length * scale)) for length in pixels.shape[1::-1]]
    small = np.ascontiguousarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
    return "data:image/jpeg;base64," + base64.b64encode(simplejpeg.encode_jpeg(small, quality=80)).decode()
