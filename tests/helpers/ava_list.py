"""A list of AVA as the rule list_ava writes it."""

import csv

from trainer.data import ava_lists


def write_list(path, boxes):
    """Write the list of ``boxes``, see `trainer.data.ava_lists.collect_boxes`; return its path."""
    with path.open("w", newline="") as output:
        writer = csv.writer(output, lineterminator="\n")
        writer.writerow(ava_lists.COLUMNS)
        writer.writerows(ava_lists.list_rows(boxes, start=900, fps=30))
    return path
