"""A list of AVA as the rule list_ava writes it."""

import csv

from trainer.data import ava_lists


def detections(boxes, score="0.95"):
    """Return {video: {second: {corners: [action, ...]}}} as `trainer.data.ava_lists.collect_boxes` does."""
    return {
        video: {
            second: {corners: ava_lists.Box(score, actions) for corners, actions in of_second.items()}
            for second, of_second in seconds.items()
        }
        for video, seconds in boxes.items()
    }


def write_list(path, boxes):
    """Write the list of ``boxes``, see `trainer.data.ava_lists.collect_boxes`; return its path."""
    with path.open("w", newline="") as output:
        writer = csv.writer(output, lineterminator="\n")
        writer.writerow(ava_lists.COLUMNS)
        writer.writerows(ava_lists.list_rows(boxes, start=900, fps=30))
    return path
