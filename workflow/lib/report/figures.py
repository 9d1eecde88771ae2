"""The one table of figures: the workflow's rules, the report page and the plan of an experiment read it.

A figure is a row here, a script ``workflow/scripts/plot_<name>.py`` and a caption ``workflow/report/<name>.rst``.
This module is imported whenever a workflow is planned, so it does not import matplotlib.
"""

from collections.abc import Collection
from dataclasses import dataclass

from trainer.datasets import DATASETS


@dataclass(frozen=True)
class Figure:
    """A figure of the report, and when it can be made."""

    name: str  # of its rule, script, caption and files
    title: str  # for readers
    per_dataset: bool = True  # False: one figure compares the datasets, so it needs at least two
    needs_baseline: bool = False  # needs a method without pre-training, and one with
    needs_published: bool = False  # needs a table of published mAP

    @property
    def stem(self) -> str:
        """The name of its files without suffix; ``{dataset}`` in it stands for a dataset."""
        return f"{{dataset}}_{self.name}" if self.per_dataset else self.name


# In the order of the report page.
FIGURES = [
    Figure("mean_ap", "mAP per method"),
    Figure("differences", "differences of all pairs of methods"),
    Figure("classes", "average precision per class"),
    Figure("training", "training curves"),
    Figure("gains", "classes that gain most", needs_baseline=True),
    Figure("ranking", "agreement with the published ranking", needs_published=True),
    Figure("dataset_scatter", "mAP compared", per_dataset=False),
]


def figures_of(datasets: list[str], kinds: Collection[str], has_published: bool) -> dict[str, dict[str, str]]:
    """Return title and caption (a file of workflow/report) of an experiment's figures, by file stem, in their order.

    ``kinds``: what the selected methods have in the column `pretraining` of the methods table;
    ``has_published``: whether there is a table of published mAP.
    """
    has_baseline = "none" in kinds and len(set(kinds)) > 1
    possible = [
        figure
        for figure in FIGURES
        if (has_baseline or not figure.needs_baseline) and (has_published or not figure.needs_published)
    ]
    drawn = [(figure, [dataset]) for dataset in datasets for figure in possible if figure.per_dataset]
    drawn += [(figure, datasets) for figure in possible if not figure.per_dataset and len(datasets) > 1]
    return {
        figure.stem.format(dataset=shown[0]): {
            "title": f"{' and '.join(DATASETS[dataset].title for dataset in shown)}: {figure.title}",
            "caption": f"{figure.name}.rst",
        }
        for figure, shown in drawn
    }
