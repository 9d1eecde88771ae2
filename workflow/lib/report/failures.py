"""Failures for the report page: what the best method and no pre-training get most wrong, and which classes differ."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from trainer import config
from trainer.data.frame_archive import FrameArchive
from trainer.datasets import DATASETS
from trainer.metrics.bootstrap import interval
from trainer.run_files import read_arrays
from trainer.utils.errors import InputError
from workflow.lib.report.comparisons import difference_cells
from workflow.lib.report.examples import KEY_FRAME_SIDE, data_uri, frame_strip
from workflow.lib.report.results import Results, mean_map
from workflow.lib.report.text_table import TextTable, cells, signed
from workflow.lib.report.uncertainty import class_names, resampled_classes

SHOWN = 3  # mistakes, and missed positives, of a run
CLASSES = 10  # that explain a difference


@dataclass(frozen=True)
class Failure:
    """A score on the wrong side, with its frames."""

    name: str  # of the class
    score: float
    title: str  # video and second
    box: tuple[float, ...] | None  # x1, y1, x2, y2 as fractions of the frame; None: the whole video
    images: list[str]  # data URIs: the frame of the box, or frames of the video in the order of time


@dataclass(frozen=True)
class RunFailures:
    method: str  # label
    mistakes: list[Failure]  # by descending score
    missed: list[Failure]  # by ascending score
    problem: str = ""  # why there are none


@dataclass(frozen=True)
class Failures:
    """The failures of two methods side by side, and the classes that explain the difference of their mAP."""

    title: str  # of the dataset, and the group where there are several
    runs: list[RunFailures]  # the best method, then no pre-training
    classes: TextTable | None


def find_failures(results: Results) -> Failures:
    """Return the failures of the method with the highest mAP, and of no pre-training; ``results``: of one group."""
    best = mean_map(results).idxmax()
    baseline = results.baselines(best).drop(best, errors="ignore")
    runs = [run_failures(results, method) for method in [best, *baseline[:1]]]
    classes = explain_difference(results, best, baseline[0]) if len(baseline) else None
    return Failures(results.heading, runs, classes)


def run_failures(results: Results, method) -> RunFailures:
    """Return the failures of the method's run with the highest mAP."""
    runs = results.runs[results.runs.method == method]
    folder, label = runs.folder[runs["mAP"].idxmax()], results.methods.label[method]
    try:
        run = config.load(f"{folder}/config.yaml")
        judged = DATASETS[results.dataset].metric.judge_test(
            run.data, read_arrays(f"{folder}/predictions.npz", "score")
        )
        frames = FrameArchive(run.data.frames)
        centers = key_frames(run.data.test)
        found = [
            [failure(row, frames, centers) for row in extremes.itertuples()]
            for extremes in (most_confident(judged[~judged.hit]), most_confident(judged[judged.hit], least=True))
        ]
        return RunFailures(label, *found)
    except (InputError, OSError) as error:  # e.g. frames or lists that were deleted after the training
        return RunFailures(label, [], [], str(error))


def most_confident(judged: pd.DataFrame, least=False) -> pd.DataFrame:
    """Return the rows with the highest or least scores, at most one of each video; of equals the first."""
    ordered = judged.sort_values("score", ascending=least, kind="stable")
    return ordered.drop_duplicates("video").head(SHOWN)


def key_frames(test_list) -> dict:
    """Return the frame of each (video, second) of a list; none if the list is of whole videos."""
    rows = pd.read_csv(test_list, dtype={"video": str}, keep_default_na=False)
    if "second" not in rows:
        return {}
    return dict(zip(zip(rows.video, rows.second, strict=True), rows.center, strict=True))


def failure(row, frames, centers) -> Failure:
    """Return a row of judged scores with its frames."""
    if not hasattr(row, "second"):
        images = frame_strip(frames, row.video, np.arange(frames.count(row.video)))
        return Failure(row.name, float(row.score), row.video, None, images)
    image = data_uri(frames, row.video, centers[row.video, row.second], KEY_FRAME_SIDE)
    box = tuple(np.clip([row.x1, row.y1, row.x2, row.y2], 0, 1).tolist())
    return Failure(row.name, float(row.score), f"{row.video}, second {row.second}", box, [image])


def explain_difference(results: Results, method, other) -> TextTable | None:
    """Return the classes that contribute most to the difference of two methods' mAP; None if it is not known."""
    resampled = resampled_classes(results)
    if not {method, other} <= set(resampled.methods):
        return None
    ours, theirs = resampled.methods.get_indexer([method, other])
    difference = resampled.points[ours] - resampled.points[theirs]
    low, high = interval(difference, resampled.values[ours] - resampled.values[theirs]).T
    columns = {"name": class_names(results), "ours": resampled.points[ours], "theirs": resampled.points[theirs]}
    rows = pd.DataFrame(columns | {"difference": difference, "low": low, "high": high}).dropna(subset="difference")
    rows["part"] = rows.difference / len(rows)
    largest = rows.part.abs().sort_values(ascending=False, kind="stable").index[:CLASSES]
    shown, labels = rows.loc[largest], results.methods.label
    where, pair = results.heading, f"{labels[method]} and {labels[other]}"
    return TextTable(
        f"{where}: classes that explain the difference between {pair}",
        {
            "Class": cells(shown["name"]),
            f"AP of {labels[method]}": cells(shown.ours, "{:.1f}".format),
            f"AP of {labels[other]}": cells(shown.theirs, "{:.1f}".format),
            "Difference": difference_cells(shown),
            "Share of the difference": cells(shown.part, lambda part: f"{signed(part)} of {signed(rows.part.sum())}"),
        },
        "Brackets are intervals of 95 % over test videos. Of many classes some differ by chance.",
    )
