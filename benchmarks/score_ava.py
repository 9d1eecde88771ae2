"""Time the AVA score and its peak memory, beside a loop over images and classes as the reference scripts have it.

    python -m benchmarks.score_ava              # generated predictions of the size of a full AVA validation
    python -m benchmarks.score_ava FOLDER       # gt.csv[.gz], det.csv[.gz], exclusions.csv, labelmap.pbtxt

The loop does only what the protocol needs. SlowFast's helper, which the published experiment uses, was measured apart
(2 cores of an AMD EPYC): 57 s for 496,006 detections of 53,498 images, 156 s for a full validation's 4,748,100.
"""

import resource
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from trainer.cli import command_parser
from trainer.metrics.ava import frame_map, official_input
from trainer.metrics.ava_csv import (
    GroundTruth,
    read_detections,
    read_exclusions,
    read_ground_truth,
    read_label_map,
    to_detections,
    write_all_digits,
    write_detections,
)

BOXES = 79_135  # person boxes of the published AVA validation
VIDEOS, SECONDS = 64, 897  # its videos and key seconds
CLASSES = dict.fromkeys(
    [1, *range(3, 16), 17, 20, 22, 24, *range(26, 31), 34, *range(36, 39), 41, 43, *range(45, 50)], ""
)
CLASSES |= dict.fromkeys([51, 52, 54, *range(56, 71), *range(72, 75), *range(76, 81)], "")  # the 60 evaluated


def main():
    parser = command_parser("benchmarks.score_ava", __doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="score these files instead of generated ones")
    parser.add_argument("--every", type=int, default=20, help="the loop scores every Nth image only (default: 20)")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        if args.folder is None:
            truth, detections, classes, excluded = generate(Path(temporary))
        else:
            truth, detections, classes, excluded = read(args.folder)
    print(f"{len(truth):,} boxes of ground truth, {len(detections):,} detections, {len(classes)} classes")
    with timed("score, official protocol"):
        official = frame_map(truth, detections, classes, excluded, protocol="official")
    with timed("select and write what the official script keeps"), tempfile.TemporaryDirectory() as temporary:
        _, kept = official_input(truth, detections, classes, excluded)
        write_all_digits(Path(temporary, "detections.csv.gz"), kept)
    with timed("score, published protocol") as ours:
        published = frame_map(truth, detections, classes, excluded)
    print(f"mAP published {published['ap'].mean():.6f}, official {official['ap'].mean():.6f}")

    part, part_truth = (every_nth_image(boxes, args.every) for boxes in (detections, truth))
    with timed(f"loop over images and classes, every {args.every}th image") as loop:
        looped = loop_map(part_truth, part, classes, excluded)
    same = np.nanmax(np.abs(looped - frame_map(part_truth, part, classes, excluded)["ap"]))
    estimate = loop["seconds"] * len(detections) / len(part)
    print(f"largest difference of a class's AP on those images: {same:.1e}")
    print(
        f"the loop on all detections would take about {estimate:.0f} s: {estimate / ours['seconds']:.0f} times as long"
    )


@contextmanager
def timed(what):
    """Print the seconds of a block, and the peak memory of the process so far."""
    result = {}
    start = time.perf_counter()
    yield result
    result["seconds"] = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2  # Linux counts in KiB
    print(f"{result['seconds']:8.2f} s  {peak:5.2f} GiB peak so far   {what}", flush=True)


def read(folder):
    def found(name):
        return next((path for path in (folder / name, folder / f"{name}.gz") if path.exists()), folder / name)

    with timed("read the files"):
        return (
            read_ground_truth(found("gt.csv")),
            read_detections(found("det.csv")),
            read_label_map(folder / "labelmap.pbtxt"),
            read_exclusions(folder / "exclusions.csv"),
        )


def generate(folder):
    """Return ground truth and predictions of a full validation, which are written and read back."""
    rng = np.random.default_rng(0)
    image = np.sort(rng.integers(0, VIDEOS * SECONDS, BOXES))
    video, second = (
        np.array([f"video{number:06d}" for number in range(VIDEOS)])[image // SECONDS],
        902 + image % SECONDS,
    )
    corner = rng.uniform(0, 0.5, (BOXES, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0.1, 0.5, (BOXES, 2))], axis=1).astype(np.float32)

    # Each box has about 2.7 of the classes, few of them often, as in AVA; scores know something of them.
    labels = rng.random((BOXES, 80)) < 1 / (1 + np.arange(80)) * 0.7
    scores = 1 / (1 + np.exp(-rng.normal(-3 + 2 * labels, 1))).astype(np.float32)
    with timed("predictions to detections"):
        detections = to_detections(boxes, scores, video, second, CLASSES)
    with timed("write them as CSV"):
        write_detections(folder / "det.csv", detections)
    with timed("read the CSV"):
        detections = read_detections(folder / "det.csv")

    box, column = np.nonzero(labels)
    moved = boxes[box] + rng.normal(0, 0.02, (len(box), 4))
    names, number = np.unique(video, return_inverse=True)
    truth = GroundTruth(names.astype(object), number[box], second[box], moved, column + 1, person=np.ones(len(box)))
    return truth, detections, CLASSES, ()


def every_nth_image(boxes, nth):
    return boxes.select(boxes.second % nth == 0)


def loop_map(truth, detections, classes, excluded):
    """Score by the published protocol as the reference does it: one image, one class, one detection at a time."""
    truth_images, images = rows_by_image(truth, classes, excluded), rows_by_image(detections, classes, excluded)
    results = {number: ([], []) for number in classes}
    for image, rows in images.items():
        truth_rows = truth_images.get(image, np.zeros(0, dtype=int))
        for number in classes:
            here = rows[detections.action[rows] == number]
            boxes = truth.box[truth_rows[truth.action[truth_rows] == number]]
            results[number][0].append(detections.score[here])
            results[number][1].append(image_hits(detections.box[here], boxes))
    every = np.concatenate(list(truth_images.values()))
    ap = []
    for number, (scores, hits) in results.items():
        order = np.argsort(np.concatenate(scores), kind="stable")[::-1]
        ap.append(loop_ap(np.concatenate(hits)[order], (truth.action[every] == number).sum()))
    return np.array(ap)


def rows_by_image(boxes, classes, excluded):
    images = {}
    names = boxes.videos[boxes.video]
    extended = (boxes.box[:, :2] < boxes.box[:, 2:]).all(axis=1)
    for row, image in enumerate(zip(names, boxes.second.tolist(), strict=True)):
        if extended[row] and image not in excluded and boxes.action[row] in classes:
            images.setdefault(image, []).append(row)
    return {image: np.array(rows) for image, rows in images.items()}


def image_hits(found, boxes):
    hits, taken = np.zeros(len(found), dtype=bool), np.zeros(len(boxes), dtype=bool)
    if len(found) == 0 or len(boxes) == 0:
        return hits
    low, high = np.maximum(found[:, None, :2], boxes[:, :2]), np.minimum(found[:, None, 2:], boxes[:, 2:])
    overlap = np.maximum(high - low, 0).prod(axis=2)
    area, box_area = (found[:, 2:] - found[:, :2]).prod(axis=1), (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    iou = overlap / (area[:, None] + box_area - overlap)
    for row, best in enumerate(iou.argmax(axis=1)):
        if iou[row, best] >= 0.5 and not taken[best]:
            hits[row] = taken[best] = True
    return hits


def loop_ap(hits, positives):
    if positives == 0:
        return np.nan
    true = hits.cumsum()
    precision = np.concatenate([[0], true / np.arange(1, len(hits) + 1), [0]])
    recall = np.concatenate([[0], true / positives, [1]])
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return (np.diff(recall) * envelope[1:]).sum()


if __name__ == "__main__":
    main()
