"""Make the lists of an AVA run, and check films, frames and boxes against each other before a GPU is used."""

import csv
import logging
from collections import Counter

from trainer.data import ava
from trainer.errors import InputError
from trainer.files import whole_file
from trainer.metrics.ava_files import read_exclusions, read_label_map
from workflow.scripts.frames_list import frames_in_archives, frames_in_folder, write_frames_list
from workflow.scripts.job import job

log = logging.getLogger(__name__)


def list_ava(films, annotations, output, *, start, stop, fps, min_score):
    """Write the lists of frames, training boxes and test boxes of the given films.

    ``films``: rows of where frames are, see `frames_list`. ``annotations``: paths of ground_truth_train, boxes_train,
    ground_truth, boxes_val, excluded and label_map. ``output``: paths of frames, train and val. The window is ``start``
    to ``stop`` s. Rows of films that are not given are left out of all lists together. Raises InputError where the
    files contradict each other.
    """
    frames = {film: count for film, count, *_ in films}
    for film, count in frames.items():
        if count != (stop - start) * fps:
            log.info("%s: %d frames; the window of %d s has %d", film, count, stop - start, (stop - start) * fps)

    train_files = [(annotations["ground_truth_train"], None), (annotations["boxes_train"], min_score)]
    val_files = [(annotations["boxes_val"], min_score)]
    splits = {}
    for split, files in ("train", train_files), ("val", val_files):
        boxes, left_out = ava.collect_boxes(files, frames, ava.key_seconds(start, stop))
        splits[split] = {film: seconds for film, seconds in boxes.items() if seconds}
        check_split(split, files, splits[split], frames, start, fps)
        report_split(split, splits[split], left_out)
    check_films(frames, splits)
    check_ground_truth(annotations["ground_truth"], splits["val"], ava.key_seconds(start, stop))
    check_score_files(annotations["excluded"], annotations["label_map"])

    for split, boxes in splits.items():
        with whole_file(output[split]) as partial, partial.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(ava.COLUMNS)
            writer.writerows(ava.list_rows(boxes, start, fps))
    listed = splits["train"].keys() | splits["val"].keys()
    write_frames_list(output["frames"], [row for row in films if row[0] in listed])


def check_split(split, files, boxes, frames, start, fps):
    """There must be boxes, and every key second must lie within its film's frames."""
    if not boxes:
        raise InputError(
            f"{files[-1][0]}: no box of any of the {len(frames)} films selected, so there is nothing to "
            f"{'train' if split == 'train' else 'test'} on; select films of both splits in config: ava: films"
        )
    for film, seconds in boxes.items():
        last = max(seconds)
        if (last - start) * fps >= frames[film]:
            raise InputError(
                f"{film}: has {frames[film]} frames, but boxes at second {last}, which is frame "
                f"{(last - start) * fps}; fetch the film again, or name it in config: ava: leave_out"
            )


def check_films(frames, splits):
    """A film is for training or for testing; one without boxes is named."""
    if both := splits["train"].keys() & splits["val"].keys():
        raise InputError(f"{', '.join(sorted(both))}: boxes in both the training and the test files; one is wrong")
    if idle := [film for film in frames if not any(film in boxes for boxes in splits.values())]:
        log.info("left out, as they have no boxes: %d films selected: %s", len(idle), ", ".join(idle))


def check_ground_truth(path, boxes, seconds):
    """Name what the score will count as missed (true boxes without a detection) or as false (the other way round)."""
    true = {(film, second) for film, second, *_ in ava.read_box_file(path) if film in boxes and second in seconds}
    found = {(film, second) for film, of_film in boxes.items() for second in of_film}
    if not true:
        raise InputError(f"{path}: has no box of the {len(boxes)} test films, so nothing can be scored")
    log.info("%s: %d key seconds of the test films", path, len(true))
    log.info("of these %d have no person box; %d more have one", len(true - found), len(found - true))


def check_score_files(excluded, label_map):
    """What else the score reads is as it must be, and names outputs that the network has."""
    evaluated = read_label_map(label_map)
    if wrong := [number for number in evaluated if not 1 <= number <= ava.ACTIONS]:
        raise InputError(f"{label_map}: action {wrong[0]} is not one of 1..{ava.ACTIONS}; take AVA's own file")
    left_out = read_exclusions(excluded)
    log.info("%d actions are evaluated; %d key seconds of %s are not", len(evaluated), len(left_out), excluded)


def report_split(split, boxes, left_out):
    """Say what the list holds and what it leaves out."""
    per_second = [of_second for seconds in boxes.values() for of_second in seconds.values()]
    labels = Counter(action for of_second in per_second for actions in of_second.values() for action in actions)
    log.info(
        "%s: %d films, %d key seconds, %d boxes, %d labels of %d actions",
        *(split, len(boxes), len(per_second), sum(map(len, per_second)), labels.total(), len(labels)),
    )
    for kind, reason in ("video", "films that are not selected"), ("second", "seconds outside the window"):
        of_kind = {name: rows for (of, name), rows in left_out.items() if of == kind}
        if of_kind:
            named = ", ".join(map(str, sorted(of_kind)[:10])) + (", ..." if len(of_kind) > 10 else "")
            log.info("%s: left out: %d rows of %d %s: %s", split, sum(of_kind.values()), len(of_kind), reason, named)


if __name__ == "__main__":
    with job(snakemake):
        source, settings = snakemake.input, dict(snakemake.params)
        selected = settings.pop("videos")
        if folder := source.get("folder"):
            films = frames_in_folder(folder, source.videos, "_", selected)
        else:
            films = frames_in_archives(source.archives, source.indices)
        list_ava(films, source, snakemake.output, **settings)
