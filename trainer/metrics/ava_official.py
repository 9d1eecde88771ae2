"""The rules of ActivityNet's script (get_ava_performance.py) that the published protocol lacks.

The script keeps the 50 best detections of an image, in a heap, and matches by descending score. It reads the ground
truth's person number as a score, so the boxes of higher numbers come first.
"""

import numpy as np

IMAGE_CAPACITY = 50  # detections of an image that the script keeps, all classes together


def order_by_person(person):
    """Return the order in which the script sees boxes of ground truth; it matters where two overlap equally."""
    return np.argsort(-person, kind="stable")


def best_of_image(image, action, box, score):
    """Return the rows that the script keeps, by image and descending score; ``image`` (N,) is sorted."""
    order = np.lexsort((-score, image))  # image[order] is image again
    place = _rank_in_group(image)
    keep = np.zeros(len(image), dtype=bool)
    keep[order[place < IMAGE_CAPACITY]] = True

    # Images whose last score to be kept is also the first to be dropped.
    beyond = np.flatnonzero(place == IMAGE_CAPACITY)
    beyond = beyond[score[order[beyond]] == score[order[beyond - 1]]]
    threshold = np.full(image.max(initial=-1) + 1, np.nan)
    threshold[image[beyond]] = score[order[beyond]]
    keep[score == threshold[image]] = False
    keep[_ties_kept_by_heap(image, action, box, score, threshold)] = True
    return order[keep[order]]


def _ties_kept_by_heap(image, action, box, score, threshold):
    """Return the rows of score ``threshold[image]`` (NaN: none) that remain in the script's heap of an image.

    A row enters unless IMAGE_CAPACITY rows of no lower score came before it. Of those that entered, higher scores push
    out the least by (action, y1, x1, y2, x2) first.
    """
    rows = np.flatnonzero(score >= threshold[image])
    entered = rows[_rank_in_group(image[rows]) < IMAGE_CAPACITY]
    entered = entered[score[entered] == threshold[image[entered]]]
    x1, y1, x2, y2 = box[entered].T
    entered = entered[np.lexsort((-x2, -y2, -x1, -y1, -action[entered], image[entered]))]
    places = IMAGE_CAPACITY - np.bincount(image[score > threshold[image]], minlength=len(threshold))
    return entered[_rank_in_group(image[entered]) < places[image[entered]]]


def _rank_in_group(group):
    """Return each element's position within its run of equal values: 5 5 5 7 7 -> 0 1 2 0 1."""
    position = np.arange(len(group))
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    return position - np.repeat(starts, np.diff(starts, append=len(group)))
