"""What the rest of the project must know of a dataset, without importing PyTorch.

Everything else that is particular to a dataset is in its task (``trainer/tasks``), its lists (``trainer/data``) and
its metric (``trainer/metrics``).
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

from trainer.metrics import ava, ava_resampled, charades, charades_resampled


@dataclass(frozen=True)
class Dataset:
    """A dataset as tables, lists and rules see it."""

    title: str  # for readers
    metric: ModuleType  # has PREDICTIONS, score_test, score_validation and judge_test
    resampled_aps: Callable  # (data, predictions, number, seed): average precision of resamples of the test videos
    metric_title: str  # for the heading of a table
    score_files: tuple[str, ...]  # annotation files that the metric reads, by their field of trainer.config.Data
    frame_separator: str  # between video and number in a frame's file name, as SlowFast has it
    has_boxes: bool = False  # examples are key seconds with boxes of people
    single_view: bool = False  # a test example is one clip, without further crops
    write_official_files: Callable | None = None  # (data, predictions, folder): for the dataset's own script

    @property
    def num_classes(self) -> int:
        """Outputs of the network, which may be more than the metric scores: of AVA's 80, its label map names 60."""
        return self.metric.PREDICTIONS["score"][0]


DATASETS = {
    "ava": Dataset(
        title="AVA",
        metric=ava,
        resampled_aps=ava_resampled.resampled_aps,
        metric_title="frame mAP at IoU 0.5, in percent",
        score_files=("label_map", "ground_truth", "excluded"),
        frame_separator="_",
        has_boxes=True,
        single_view=True,
        write_official_files=ava.write_official_files,
    ),
    "charades": Dataset(
        title="Charades",
        metric=charades,
        resampled_aps=charades_resampled.resampled_aps,
        metric_title="mAP, in percent",
        score_files=("label_map",),
        frame_separator="-",
    ),
}


def task(dataset: str) -> ModuleType:
    """Import the task of a dataset: its sets, its head and its prediction, see ``trainer.tasks``."""
    return import_module(f"trainer.tasks.{dataset}")
