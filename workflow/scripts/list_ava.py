"""Write the lists of an AVA run, and check films, frames and boxes against each other before training starts."""

import logging
from collections import Counter

from trainer.data import ava_lists
from trainer.datasets import DATASETS
from trainer.metrics.ava_csv import read_exclusions, read_ground_truth, read_label_map
from trainer.utils.errors import InputError
from trainer.utils.files import write_csv
from trainer.utils.text import listed, shown
from workflow.lib.frames_list import frames_in_archives, frames_in_folder, write_frames_list
from workflow.lib.rule_script import rule_script

log = logging.getLogger(__name__)


def list_ava(films, annotations, output, *, start, stop, fps, min_person_score):
    """Write the lists of frames, training boxes and test boxes of the given films.

    ``films``: rows of a frames list, see `workflow.lib.frames_list`. ``annotations``: paths of ground_truth_train,
    boxes_train, ground_truth, boxes_val, excluded and label_map. ``output``: paths of frames, train and val. The window
    is ``start`` to ``stop`` s. Rows of other films are skipped. Raises InputError if the files contradict each other.
    """
    frames = {row.video: row.frames for row in films}
    for film, count in frames.items():
        if count != (stop - start) * fps:
            log.info("%s: %d frames; the window of %d s has %d", film, count, stop - start, (stop - start) * fps)

    train_files = [(annotations["ground_truth_train"], None), (annotations["boxes_train"], min_person_score)]
    val_files = [(annotations["boxes_val"], min_person_score)]
    splits = {}
    for split, files in ("train", train_files), ("val", val_files):
        boxes, skipped = ava_lists.collect_boxes(files, frames, ava_lists.key_seconds(start, stop))
        splits[split] = {film: seconds for film, seconds in boxes.items() if seconds}
        check_lengths(splits[split], frames, start, fps)
        log_split(split, splits[split], skipped)
    check_films(frames, splits)
    check_ground_truth(annotations["ground_truth"], splits["val"], ava_lists.key_seconds(start, stop))
    check_score_files(**{name: annotations[name] for name in ("ground_truth", "excluded", "label_map")})

    for split, boxes in splits.items():
        write_csv(output[split], ava_lists.COLUMNS, ava_lists.list_rows(boxes, start, fps))
    used = splits["train"].keys() | splits["val"].keys()
    write_frames_list(output["frames"], [row for row in films if row.video in used])


def check_lengths(boxes, frames, start, fps):
    """Raise InputError if a key second is after the last frame of its film."""
    for film, seconds in boxes.items():
        last = max(seconds)
        if (last - start) * fps >= frames[film]:
            raise InputError(
                f"{film}: has {frames[film]} frames, but boxes at second {last}, which is frame "
                f"{(last - start) * fps}; download the film again, or exclude it (config: ava: exclude_videos)"
            )


def check_films(frames, splits):
    """Raise InputError if a film has boxes in both splits; log films without boxes."""
    if both := splits["train"].keys() & splits["val"].keys():
        raise InputError(f"{', '.join(sorted(both))}: boxes in both the training and the test files; one is wrong")
    if unused := [film for film in frames if not any(film in boxes for boxes in splits.values())]:
        log.info("skipped %d films selected, which have no boxes: %s", len(unused), ", ".join(unused))


def check_ground_truth(path, boxes, seconds):
    """Log how many key seconds have a true box or a detection only; raise InputError if there is no true box."""
    true = {(film, second) for film, second, *_ in ava_lists.read_box_file(path) if film in boxes and second in seconds}
    found = {(film, second) for film, of_film in boxes.items() for second in of_film}
    if not true:
        raise InputError(f"{path}: has no box of the {len(boxes)} test films, so nothing can be scored")
    log.info("%s: %d key seconds of the test films", path, len(true))
    # The score counts the former as missed, the latter as false.
    log.info("of these %d have no person box; %d more have one", len(true - found), len(found - true))


def check_score_files(ground_truth, excluded, label_map):
    """Raise InputError unless the score's files can be read and name only actions that the network predicts."""
    read_ground_truth(ground_truth)
    evaluated = read_label_map(label_map)
    if wrong := [number for number in evaluated if not 1 <= number <= ava_lists.NUM_ACTIONS]:
        raise InputError(
            f"{label_map}: action {wrong[0]} is not one of 1..{ava_lists.NUM_ACTIONS}; use AVA's own label map"
        )
    seconds = read_exclusions(excluded)
    log.info("%d actions are evaluated; %d key seconds of %s are not", len(evaluated), len(seconds), excluded)


def log_split(split, boxes, skipped):
    """Log what the list of a split holds and which rows it skips."""
    per_second = [of_second for seconds in boxes.values() for of_second in seconds.values()]
    labels = Counter(action for of_second in per_second for box in of_second.values() for action in box.actions)
    log.info(
        "%s: %d films, %d key seconds, %d boxes, %d labels of %d actions",
        *(split, len(boxes), len(per_second), sum(map(len, per_second)), labels.total(), len(labels)),
    )
    for kind, reason in (
        ("video", "films that are not selected"),
        ("second", "seconds outside the window"),
        ("box", "files of detections, boxes without extent (x1 >= x2 or y1 >= y2)"),
    ):
        of_kind = {name: rows for (of, name), rows in skipped.items() if of == kind}
        if of_kind:
            named = listed((shown(str(name)) for name in sorted(of_kind)), 10)
            log.info("%s: skipped %d rows of %d %s: %s", split, sum(of_kind.values()), len(of_kind), reason, named)


if __name__ == "__main__":
    with rule_script(snakemake):
        source, settings = snakemake.input, dict(snakemake.params)
        selected = settings.pop("videos")
        if folder := source.get("folder"):
            films = frames_in_folder(folder, source.videos, DATASETS["ava"].frame_separator, selected)
        else:
            films = frames_in_archives(source.archives, source.indices)
        list_ava(films, source, snakemake.output, **settings)
