"""Check by simulation that intervals of 95 % cover: test sets are drawn, scored and bootstrapped again and again.

    python -m benchmarks.interval_coverage                                    # few videos and classes: a minute
    python -m benchmarks.interval_coverage --full --sets 100 --resamples 300   # Charades' size, too: three minutes

The truth: the mean mAP of test sets of as many videos, over all sets of the simulation. Published numbers are of such
sets. AP of a small test set is too high on average, so mAP of all videos there could be is another, lower number.
Videos differ in what happens in them and in how high a method scores anything, as those of real data sets do. Of two
methods of equal mAP on the same videos, the last number says how often their difference is significant at 0.05.
"""

from dataclasses import dataclass

import numpy as np

from trainer.cli import command_parser
from trainer.metrics.ava_csv import Detections, GroundTruth
from trainer.metrics.ava_resampled import frame_aps
from trainer.metrics.bootstrap import bootstrap_p_value, draw_resamples, interval, percentile_interval
from trainer.metrics.charades_resampled import video_aps


@dataclass(frozen=True)
class Simulation:
    """Test sets of one kind: frames with one person each, as on AVA, or whole videos, as on Charades (frames=0)."""

    title: str
    videos: int
    frames: int
    rates: np.ndarray  # of the classes
    varied: float  # how much rates differ from video to video, as standard deviation of their logit
    missed: float = 0.2  # boxes that match no ground truth (AVA)


FEW = np.array([0.5, 0.3, 0.2, 0.1, 0.1, 0.05, 0.05, 0.03])
AVA = Simulation("64 films, 8 classes", 64, 20, FEW, varied=1)
CHARADES = Simulation("300 videos, 8 classes", 300, 0, FEW, varied=0)
FULL = Simulation("1,814 videos, 157 classes", 1814, 0, np.geomspace(0.006, 0.25, 157), varied=0)


def main():
    parser = command_parser("benchmarks.interval_coverage", __doc__)
    parser.add_argument("--sets", type=int, default=1000, help="test sets (default: 1000)")
    parser.add_argument("--resamples", type=int, default=500, help="of each test set (default: 500)")
    parser.add_argument("--full", action="store_true", help="Charades' size, too")
    args = parser.parse_args()
    for simulation in [AVA, CHARADES, *[FULL] * args.full]:
        points, values = simulate(simulation, args.sets, args.resamples)
        sizes = f"{simulation.title}, {args.sets} test sets, {args.resamples} resamples"
        print(f"{sizes}: {summary(simulation, points, values)}")


def simulate(simulation, sets, resamples, seed=0):
    """Return AP (sets, 2, classes) of two methods of equal quality, and of the resamples (sets, 2, classes, resamples).

    NaN without a positive.
    """
    rng, classes = np.random.default_rng(seed), len(simulation.rates)
    points, values = np.empty((sets, 2, classes)), np.empty((sets, 2, classes, resamples), np.float32)
    for number in range(sets):
        drawn = draw_resamples(map(str, range(simulation.videos)), resamples, seed=number)
        weights = np.concatenate([np.ones_like(drawn.weights[:1]), drawn.weights])
        labels = draw_labels(rng, simulation)
        for method in range(2):
            aps = score(rng, simulation, labels, drawn.videos, weights)
            points[number, method], values[number, method] = aps[:, 0], aps[:, 1:]
    return points, values


def coverage(points, intervals):
    """Return the fraction of ``intervals`` (sets, ..., 2) that contain the mean of ``points`` (sets, ...) over sets."""
    low, high = np.moveaxis(intervals, -1, 0)
    truth = np.nanmean(points, axis=0)
    return ((low <= truth) & (truth <= high))[~np.isnan(points)].mean()


def over_classes(aps):
    """Return mAP (sets, methods, ...) of AP (sets, methods, classes, ...)."""
    return np.nanmean(aps, axis=2)


def false_alarms(points, values):
    """Return how often the two methods differ at 0.05."""
    p = bootstrap_p_value(points[:, 0] - points[:, 1], values[:, 0] - values[:, 1])
    return (p <= 0.05).mean()


def summary(simulation, points, values):
    of_classes = interval(points, values)
    rarest = np.argmin(simulation.rates)
    classes = f"of classes {coverage(points, of_classes):.1%}, "
    classes += f"of the rarest {coverage(points[..., rarest], of_classes[..., rarest, :]):.1%}"
    points, values = over_classes(points), over_classes(values)
    return (
        f"mAP {points.mean():.4f}, standard deviation {points.std(axis=0).mean():.4f}, by the bootstrap "
        f"{values.std(axis=2).mean():.4f}, mean of resamples {values.mean() - points.mean():+.4f}; "
        f"{coverage(points, interval(points, values)):.1%} of intervals cover, "
        f"{coverage(points, percentile_interval(values)):.1%} without centering; {classes}; "
        f"false alarms {false_alarms(points, values):.1%}"
    )


def draw_labels(rng, simulation):
    """Return (videos, frames or 1, classes) bool."""
    shape = simulation.videos, max(1, simulation.frames), len(simulation.rates)
    logit = np.log(simulation.rates / (1 - simulation.rates))
    logit = logit + simulation.varied * rng.normal(size=(shape[0], 1, shape[2]))
    return rng.random(shape) < 1 / (1 + np.exp(-logit))


def score(rng, simulation, labels, names, weights):
    """Return AP (classes, R) of made-up scores: they know something of labels, and are higher in some videos."""
    scores = 1.2 * labels + rng.normal(size=labels.shape) + 0.5 * rng.normal(size=(len(labels), 1, labels.shape[2]))
    if not simulation.frames:
        return video_aps(scores[:, 0], labels[:, 0], names, names, weights)
    classes = dict.fromkeys(range(1, labels.shape[2] + 1), "")
    video, second = (axis.ravel() for axis in np.indices(labels.shape[:2]))
    here = np.tile([0.0, 0.0, 0.5, 1.0], (len(video), 1))
    found = here + np.where(rng.random(len(video)) < simulation.missed, 0.5, 0)[:, None] * [1, 0, 1, 0]
    box, column = np.nonzero(labels.reshape(len(video), -1))
    truth = GroundTruth(names, video[box], second[box], here[box], column + 1, np.ones(len(box)))
    every, action = np.indices((len(video), len(classes))).reshape(2, -1)
    detections = Detections(names, video[every], second[every], found[every], action + 1, scores.ravel())
    return frame_aps(truth, detections, classes, (), names, weights)


if __name__ == "__main__":
    main()
