"""An experiment: what a config wants, as paths of files and settings of runs. Rules ask it about their inputs.

Nothing here needs Snakemake, PyTorch or the files themselves, apart from the tables and lists that the config names.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, fields
from functools import cache, cached_property
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from trainer import config as run_config
from trainer.datasets import DATASETS
from trainer.models.backbones import BACKBONES
from trainer.utils.errors import InputError
from trainer.utils.text import listed
from workflow.lib import validation
from workflow.lib.report import figures
from workflow.lib.report.results import scored
from workflow.lib.settings import AUTHORS, ROOT

AVA_ANNOTATIONS = {
    "ground_truth_train": "ava_train_v2.2.csv",
    "ground_truth": "ava_val_v2.2.csv",
    "excluded": "ava_val_excluded_timestamps_v2.2.csv",
    "label_map": "ava_action_list_v2.2_for_activitynet_2019.pbtxt",
    "boxes_train": "person_box_67091280_iou90/ava_detection_train_boxes_and_labels_include_negative_v2.2.csv",
    "boxes_val": "person_box_67091280_iou90/ava_detection_val_boxes_and_labels.csv",
}

RESULT_FILES = ("metrics.json", "bootstrap.npz")  # of a run; tables and figures wait for them


def local_paths(urls: Iterable[str]) -> list[str]:
    """Return the addresses that are files of this machine: a job that downloads one has it as an input."""
    return [url for url in urls if "://" not in url]


class Experiment:
    """The films, sources, checkpoints, runs and results of a config."""

    def __init__(self, config: dict):
        """Check ``config`` and the tables that it names; raise InputError naming file, key or line."""
        self.config = validation.read_config(config)
        self.sources = validation.read_sources(self.config)
        self.all_methods = validation.read_methods(self.config, self.sources)
        self.methods = validation.select_methods(self.config, self.all_methods)
        validation.check_resamples(self.config.bootstrap.resamples, self.groups)
        validation.check_published(self.config)
        self.existing, self.ava = self.config.existing, self.config.ava
        self.lists = f"{self.config.results}/lists"

    # --- AVA's films and frames --------------------------------------------------------------------------------------

    @cached_property
    def films(self) -> dict[str, str]:
        """File names by video."""
        return validation.read_films(self.ava.films, self.ava.exclude_videos)

    @cached_property
    def _ffmpeg_name(self):
        """The ffmpeg that cuts and decodes, for paths: an old version cost users 3 mAP."""
        if "ava" not in self.config.datasets or self.existing.ava_frames:
            return "no-ffmpeg"
        from workflow.lib.film import ffmpeg_version  # the benchmarks of training run without PyAV and ffmpeg

        try:
            version = ffmpeg_version(self.config.ffmpeg)
        except InputError as error:
            raise InputError(f"config: ffmpeg: {error}") from error
        return f"ffmpeg-{re.sub('[^a-zA-Z0-9.-]', '_', version)}"

    # All that changes a file is part of its path, so that one data folder serves several experiments.

    @cached_property
    def _window(self):
        return f"{self.ava.start}-{self.ava.stop}_{self._ffmpeg_name}"

    @cached_property
    def films_folder(self) -> str:
        return self.existing.ava_films or f"{self.config.data}/ava/films"

    @cached_property
    def cuts_folder(self) -> str:
        return f"{self.config.data}/ava/cuts_{self._window}"

    @cached_property
    def frames_folder(self) -> str:
        size = f"short{self.ava.short_side}" if self.ava.short_side else "native"
        return f"{self.config.data}/ava/frames_{self._window}_{self.ava.fps}fps_q{self.ava.jpeg_quality}_{size}"

    def film(self, video: str) -> str:
        """Return the path of a video's film."""
        if video not in self.films:
            raise InputError(f"{video}: not a video of config: ava: films")
        if self.existing.ava_films:
            self._check_own("ava_films")
        return f"{self.films_folder}/{self.films[video]}"

    def cut(self, video: str) -> str:
        """Return the path of a video's cut: ours, or the user's, which has the film's name."""
        if self.existing.ava_cuts:
            self._check_own("ava_cuts")
            return f"{self.existing.ava_cuts}/{self.films[video]}"
        return f"{self.cuts_folder}/{video}.nut"

    @cache  # noqa: B019, as it looks through a folder, and there is one experiment in a process
    def _check_own(self, key):
        """Raise InputError if the user's folder of films or cuts lacks one whose frames AVA's lists still need."""
        if Path(self.lists, "ava_frames.csv").exists():
            return
        folder, missing = getattr(self.existing, key), []
        for video, film in self.films.items():
            steps = (f"{folder}/{film}", f"{self.cuts_folder}/{video}.nut", f"{self.frames_folder}/{video}.tar")
            if not any(Path(path).exists() for path in steps):
                missing.append(video)
        if missing:
            raise InputError(
                f"config: existing: {key}: {folder}: lacks {len(missing)} of the {len(self.films)} videos selected: "
                f"{listed(missing, 10)}; add their files, or exclude them (config: ava: exclude_videos)"
            )

    @property
    def cut_window(self) -> tuple[int, int]:
        """Begin and end of the window on a cut's clock, in s: our cuts keep the film's, a user's begin at 0."""
        start = 0 if self.existing.ava_cuts else self.ava.start
        return start, start + self.ava.stop - self.ava.start

    @property
    def ava_frames(self) -> dict:
        """Where AVA's frames are: archives and their indices, or a user's folder of loose frames."""
        if self.existing.ava_frames:
            return {"folder": self.existing.ava_frames, "videos": f"{self.lists}/ava_folder.csv"}
        return {
            "archives": [f"{self.frames_folder}/{video}.tar" for video in self.films],
            "indices": [f"{self.frames_folder}/{video}.npy" for video in self.films],
        }

    # --- Charades ----------------------------------------------------------------------------------------------------

    @property
    def charades_tar(self) -> str:
        return self.existing.charades_tar or f"{self.config.data}/downloads/charades/Charades_v1_rgb.tar"

    @property
    def charades_frames(self) -> dict:
        """Where Charades' frames are: its own tar and index, or a user's folder of loose frames."""
        if self.existing.charades_frames:
            return {"folder": self.existing.charades_frames, "videos": f"{self.lists}/charades_folder.csv"}
        return {
            "archive": self.charades_tar,
            "index": f"{self.config.data}/charades/index.npy",
            "videos": f"{self.config.data}/charades/videos.csv",
        }

    # --- Annotations -------------------------------------------------------------------------------------------------

    @cached_property
    def annotations(self) -> dict[str, dict[str, str]]:
        """Annotation files by dataset and role."""
        ava = self.existing.ava_annotations or f"{self.config.data}/ava/annotations"
        charades = self.existing.charades_lists or f"{self.config.data}/downloads/charades"
        return {
            "ava": {role: f"{ava}/{file}" for role, file in AVA_ANNOTATIONS.items()},
            "charades": {
                "train": f"{charades}/train.csv",
                "val": f"{charades}/val.csv",
                "label_map": self.config.charades.label_map,
            },
        }

    # --- Remote files ------------------------------------------------------------------------------------------------

    def source_rows(self, column: str, value: str) -> pd.DataFrame:
        """Return the rows of the sources table for one file, in the order in which they are tried."""
        rows = self.sources[self.sources[column] == value]
        if rows.empty:
            raise InputError(f"{self.config.sources_table}: no row with {column} {value}")
        return rows

    def downloaded(self, source: str) -> str:
        """Return the path of a source's file."""
        return f"{self.config.data}/downloads/{self.source_rows('source', source).file.iloc[0]}"

    def urls(self, file: str) -> list[str]:
        """Return the addresses of a file of the sources table."""
        return list(self.source_rows("file", file).url)

    def size(self, file: str) -> int | None:
        """Return the size in bytes that a file of the sources table must have; None if not known."""
        size = self.source_rows("file", file).bytes.iloc[0]
        return int(size) if size else None

    def film_urls(self, film: str) -> list[str]:
        """Return the addresses of a film; in a web address, the odd letters of its name are escaped."""
        addresses = []
        for url in self.source_rows("source", "ava_films").url:
            name = quote(film) if "://" in url else film
            addresses.append(url.replace("{film}", name).replace("{video}", name.rpartition(".")[0]))
        return addresses

    # --- Checkpoints -------------------------------------------------------------------------------------------------

    def method(self, method: str):
        """Return a method's row of the methods table."""
        if method not in self.all_methods.index:
            raise InputError(f"{method}: no such method in {' and '.join(dict.fromkeys(self.all_methods.table))}")
        return self.all_methods.loc[method]

    @cached_property
    def _own_checkpoints(self):
        """The paths below the user's folder of checkpoints, by file name: copies of the archive differ in folders."""
        found = defaultdict(list)
        for path in sorted(Path(self.existing.checkpoints).rglob("*")):
            found[path.name].append(str(path))
        return found

    def own_checkpoint(self, method: str) -> str | None:
        """Return the user's own file: the row names it, or ``existing: checkpoints`` holds it.

        Raises InputError if that folder must hold it and does not.
        """
        row = self.method(method)
        if own := validation.own_file(row):
            return str(own)
        if row.source == AUTHORS and not self.existing.checkpoints:
            raise InputError(
                f"{row.table}: {method}: checkpoint: no address of {row.checkpoint} is known; download it from its "
                "authors and name its folder in config: existing: checkpoints"
            )
        if not (row.source and self.existing.checkpoints):
            return None
        found = self._own_checkpoints[row.checkpoint]
        if len(found) > 1 or (row.source in ("checkpoints", AUTHORS) and not found):
            raise InputError(
                f"config: existing: checkpoints: expected one file named {row.checkpoint} in "
                f"{self.existing.checkpoints}, got {len(found)}"
            )
        return found[0] if found else None

    def checkpoint_report(self, method: str) -> str | None:
        """Return the path of the report on a method's checkpoint; None for random initialization."""
        return f"{self.config.results}/checkpoints/{method}.txt" if self.method(method).checkpoint else None

    def inspect_options(self, method: str) -> list[str]:
        """Return the options by which `trainer.models.inspect` reports a method's row."""
        row = self.method(method)
        options = []
        for column in ("backbone", "recipe", "layout", "channel_order", "mean", "std"):
            values = row[column] if isinstance(row[column], tuple) else [row[column]]
            options.append(f"--{column.replace('_', '-')}={','.join(map(str, values))}")
        return options

    def checkpoint(self, method: str) -> str | None:
        """Return the path of a method's checkpoint; None for random initialization."""
        row, own = self.method(method), self.own_checkpoint(method)
        if own or not row.checkpoint:
            return own
        if row.source == "checkpoints":
            return f"{self.config.data}/checkpoints/{row.checkpoint}"
        return self.downloaded(row.source)

    # --- Runs --------------------------------------------------------------------------------------------------------

    def run(self, dataset: str, method: str, seed: int | str) -> dict:
        """Return the settings of a run, in the shape of `trainer.config.Run`; the method need not be selected."""
        row = self.method(method)
        validation.check_recipe_fits(row, dataset, self.config)
        recipe = asdict(self.config.recipes[row.recipe][dataset])
        tuning = {setting.name: recipe[setting.name] for setting in fields(run_config.Tuning)}
        return {
            "dataset": dataset,
            "method": method,
            "seed": int(seed),
            "model": {
                "backbone": row.backbone,
                "checkpoint": self.checkpoint(method),
                "layout": row.layout,
                "bn_eps": row.bn_eps,
                **tuning,
            },
            "clip": recipe["clip"],
            "normalization": {"channel_order": row.channel_order, "mean": row["mean"], "std": row["std"]},
            "data": self.run_data(dataset) | {"protocol": recipe["protocol"]},
            "training": recipe["training"],
            "boxes": recipe["boxes"],
            "machine": asdict(self.config.machine) | {"world_size": self.gpus(dataset) or 1},
        }

    def run_to_write(self, dataset: str, method: str, seed: int | str) -> dict:
        """Return the settings of a run's config.yaml: `run`, but a predicted run keeps the machine it was made with.

        Another number of workers changes no result. A new config.yaml would have the run predicted again.
        """
        run = self.run(dataset, method, seed)
        folder = Path(self.config.results, "runs", dataset, method, f"seed{seed}")
        if (folder / "predictions.npz").is_file() and (made := validation.same_run(folder / "config.yaml", run)):
            run["machine"] = asdict(made.machine)
        return run

    def run_data(self, dataset: str) -> dict[str, str]:
        """Return the files of a dataset's runs, in the shape of `trainer.config.Data`."""
        lists = {"frames": "frames", "train": "train", "test": "val"}
        return {role: f"{self.lists}/{dataset}_{name}.csv" for role, name in lists.items()} | self.score_files(dataset)

    def score_files(self, dataset: str) -> dict[str, str]:
        """Return the annotation files that a dataset's metric reads, by their field of `trainer.config.Data`."""
        return {role: self.annotations[dataset][role] for role in DATASETS[dataset].score_files}

    def run_folders(self, dataset: str, *methods: str) -> dict[str, dict]:
        """Return the settings of the methods' runs on a dataset, by their folder."""
        return {
            f"{self.config.results}/runs/{dataset}/{method}/seed{seed}": self.run(dataset, method, seed)
            for method in methods
            for seed in getattr(self.config, dataset).seeds
        }

    def fingerprint(self, dataset: str, method: str, seed: int | str) -> str:
        """Return the hash by which metrics.json is recognized as that of a run."""
        return run_config.score_fingerprint(validation.read_run(self.run(dataset, method, seed)))

    def gpus(self, dataset: str) -> int:
        """Return the number of GPUs of a job; 0 on the CPU."""
        return getattr(self.config, dataset).gpus if self.config.machine.device == "cuda" else 0

    @property
    def cpus_per_gpu(self) -> int:
        """CPUs for the loaders of a GPU and the process that they feed."""
        return self.config.machine.workers + self.config.machine.threads

    def check_files(self):
        """Raise InputError if a file of the user is missing, or a run's folder holds another run that took GPU hours.

        To be called once on the machine that plans: a cluster's nodes need not see every file.
        """
        for folder in (ROOT, Path.cwd()):
            validation.check_checkout(folder)
        validation.check_existing(self.config, self.methods)
        for dataset in self.config.datasets:
            runs = self.run_folders(dataset, *self.methods.index)
            validation.link_resume_checkpoints(runs)
            validation.check_trained(runs)

    def check_cluster(self):
        """Raise InputError if a path cannot be handed to the jobs of a cluster."""
        validation.check_cluster_paths(self.config, self.methods, self.sources)

    # --- Results -----------------------------------------------------------------------------------------------------

    def result_files(self, datasets: Iterable[str]) -> list[str]:
        """Return the files of all runs on the datasets that tables and figures wait for, the last that a run writes."""
        folders = [folder for dataset in datasets for folder in self.run_folders(dataset, *self.methods.index)]
        return [f"{folder}/{name}" for folder in folders for name in RESULT_FILES]

    def result_times(self, datasets: Iterable[str]) -> dict[str, float]:
        """Return the time of modification of each result file that exists, by path."""
        return {path: Path(path).stat().st_mtime for path in self.result_files(datasets) if Path(path).is_file()}

    def other_result_files(self) -> list[str]:
        """Return the metrics.json and bootstrap.npz of the experiment ``against`` that are there.

        Raises InputError if there are none.
        """
        folder = self.config.against
        if not folder:
            raise InputError("config: against: expected the results of another experiment; add --config against=PATH")
        files = [str(path) for name in RESULT_FILES for path in Path(folder, "runs").glob(f"*/*/seed*/{name}")]
        if not files:
            raise InputError(f"config: against: {folder}: expected scored runs in runs/<dataset>/<method>/seed<n>/")
        return files

    @cached_property
    def groups(self) -> pd.Series:
        """The group of each method: methods of one group are tested alike on all datasets, so their scores compare.

        It has the name of its first recipe in the methods table, and that of the kind of backbones if another kind has
        the recipe, too.
        """
        names = {}
        rows = self.all_methods[self.all_methods.index.isin(self.methods.index)]
        for row in rows.itertuples():
            if (tests := self._tests(row)) not in names:
                taken = row.recipe in names.values()
                names[tests] = f"{row.recipe} ({BACKBONES[row.backbone].recipe})" if taken else row.recipe
        return pd.Series({row.Index: names[self._tests(row)] for row in self.methods.itertuples()})

    def _tests(self, row):
        """Return what a method must share with another so that their scores compare."""
        recipe = self.config.recipes[row.recipe]
        return (BACKBONES[row.backbone].recipe, *(recipe[dataset].test_settings for dataset in self.config.datasets))

    def results(self, datasets: Iterable[str]) -> list[dict]:
        """Return the arguments of `workflow.lib.report.results.read_results` for each dataset.

        Methods are in the order of the config, those of a group together.
        """
        groups = [rows for _, rows in self.methods.assign(group=self.groups).groupby("group", sort=False)]
        methods = pd.concat(groups)[["label", "pretraining", "recipe", "group", "backbone"]].to_dict("index")
        return [
            {
                "dataset": dataset,
                "methods": methods,
                "runs": {
                    method: {
                        folder: scored(validation.read_run(run))
                        for folder, run in self.run_folders(dataset, method).items()
                    }
                    for method in methods
                },
                "published": self.config.published_table,
                "bootstrap": asdict(self.config.bootstrap),
                "show_intervals": self.config.show_intervals,
            }
            for dataset in datasets
        ]

    @property
    def tables(self) -> list[str]:
        """Names of the tables: two for each dataset, and one for all."""
        datasets = self.config.datasets
        of_one = [f"{dataset}_{name}" for dataset in datasets for name in ("table", "comparisons")]
        return of_one + ["side_by_side"] * (len(datasets) > 1)

    @property
    def figures(self) -> dict[str, dict[str, str]]:
        """Title and caption of the figures, by file stem."""
        kinds = set(self.methods.pretraining)
        return figures.figures_of(self.config.datasets, kinds, bool(self.config.published_table))
