# Has config and tables checked, names paths, and answers what rules ask about their inputs. No rule lives here.

import os
import re
import sys
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError

# Jobs run the Python that runs Snakemake, and find our packages, as this file does; those of a cluster too, which parse
# it again.
sys.path.insert(0, os.getcwd())
os.environ.update(
    PATH=os.pathsep.join([str(Path(sys.executable).parent), os.getenv("PATH", os.defpath)]),
    PYTHONPATH=os.pathsep.join(filter(None, [os.getcwd(), os.getenv("PYTHONPATH")])),
)

from trainer.config import build, fingerprint
from trainer.errors import InputError
from workflow.scripts import checks
from workflow.scripts.media import ffmpeg_version

checks.check_config(config)
METHODS = checks.read_table(config["methods_table"], "methods").set_index("method", drop=False)
SOURCES = checks.read_table(config["sources_table"], "sources")
checks.check_methods(config, METHODS, SOURCES)
checks.check_published(config)
if workflow.is_main_process:  # jobs parse this again, on machines that need not see every file
    checks.check_files(config, METHODS)
HAVE = config["have"]
AVA = config["ava"]
FILMS = checks.read_films(AVA["films"], AVA["leave_out"])


# --- AVA's films -----------------------------------------------------------------------------------------------------


def ffmpeg_name():
    """The ffmpeg that cuts and decodes, for paths: users lost 3 mAP to an old one."""
    if "ava" not in config["datasets"] or HAVE["ava_frames"]:
        return "no-ffmpeg"
    try:
        version = ffmpeg_version(config["ffmpeg"])
    except InputError as error:
        raise WorkflowError(f"config: ffmpeg: {error}")
    return f"ffmpeg-{re.sub('[^a-zA-Z0-9.-]', '_', version)}"


# What changes a file is part of its path, so that one data folder serves several experiments.
CUTS = f"{AVA['start']}-{AVA['stop']}_{ffmpeg_name()}"
SIZE = f"short{AVA['short_side']}" if AVA["short_side"] else "native"
FRAMES = f"{CUTS}_{AVA['fps']}fps_q{AVA['quality']}_{SIZE}"
FILMS_FOLDER = HAVE["ava_films"] or f"{config['data']}/ava/films"
CUTS_FOLDER = f"{config['data']}/ava/cuts_{CUTS}"
FRAMES_FOLDER = f"{config['data']}/ava/frames_{FRAMES}"
ANNOTATIONS_FOLDER = HAVE["ava_annotations"] or f"{config['data']}/ava/annotations"
LISTS = f"{config['results']}/lists"
CHARADES_TAR = HAVE["charades_tar"] or f"{config['data']}/downloads/charades/Charades_v1_rgb.tar"
CHARADES_LISTS = HAVE["charades_lists"] or f"{config['data']}/downloads/charades"

ANNOTATION_FILES = {
    "ground_truth_train": "ava_train_v2.2.csv",
    "ground_truth": "ava_val_v2.2.csv",
    "excluded": "ava_val_excluded_timestamps_v2.2.csv",
    "label_map": "ava_action_list_v2.2_for_activitynet_2019.pbtxt",
    "boxes_train": "person_box_67091280_iou90/ava_detection_train_boxes_and_labels_include_negative_v2.2.csv",
    "boxes_val": "person_box_67091280_iou90/ava_detection_val_boxes_and_labels.csv",
}
ANNOTATIONS = {name: f"{ANNOTATIONS_FOLDER}/{file}" for name, file in ANNOTATION_FILES.items()}
SCORE_FILES = ("ground_truth", "excluded", "label_map")


def unless_dropped(kind, path):
    """An output that config may let go as soon as nothing needs it any more; never a user's own file."""
    return temp(path) if kind in config["temp"] and not HAVE[f"ava_{kind}"] else path


def get_film(wildcards):
    """The film of a video; its ending is upstream's choice."""
    if wildcards.video not in FILMS:
        raise WorkflowError(f"{wildcards.video}: not a video of config: ava: films")
    return f"{FILMS_FOLDER}/{FILMS[wildcards.video]}"


def get_cut(wildcards):
    """The cut of a video: ours, or a user's, which has the film's name."""
    return (
        f"{HAVE['ava_cuts']}/{FILMS[wildcards.video]}" if HAVE["ava_cuts"] else f"{CUTS_FOLDER}/{wildcards.video}.nut"
    )


def get_cut_start(wildcards):
    """Where the window begins on a cut's clock: ours keep the film's, a user's begin at 0."""
    return 0 if HAVE["ava_cuts"] else AVA["start"]


def get_cut_stop(wildcards):
    return get_cut_start(wildcards) + AVA["stop"] - AVA["start"]


def get_ava_frames(wildcards):
    """Where AVA's frames are: archives and their indices, or a user's folder of loose frames."""
    if HAVE["ava_frames"]:
        return {"folder": HAVE["ava_frames"], "videos": f"{LISTS}/ava_folder.csv"}
    return {
        "archives": expand(f"{FRAMES_FOLDER}/{{video}}.tar", video=FILMS),
        "indices": expand(f"{FRAMES_FOLDER}/{{video}}.npy", video=FILMS),
    }


def get_charades_frames(wildcards):
    """Where Charades' frames are: its own tar and index, or a user's folder of loose frames."""
    if HAVE["charades_frames"]:
        return {"folder": HAVE["charades_frames"], "videos": f"{LISTS}/charades_folder.csv"}
    return {
        "archive": CHARADES_TAR,
        "index": f"{config['data']}/charades/index.npy",
        "videos": f"{config['data']}/charades/videos.csv",
    }


def get_folder(wildcards):
    return HAVE[f"{wildcards.dataset}_frames"]


def get_separator(wildcards):
    """What stands between video and number in a frame's file name."""
    return {"ava": "_", "charades": "-"}[wildcards.dataset]


# --- Remote files ----------------------------------------------------------------------------------------------------
# Snakemake does not compare params that depend on `output`: a new address fetches nothing anew that is there.


def source_of(column, value):
    """The rows of the sources table for one file, in the order in which they are tried."""
    rows = SOURCES[SOURCES[column] == value]
    if rows.empty:
        raise WorkflowError(f"{config['sources_table']}: no row with {column} {value}")
    return rows


def get_film_urls(wildcards, output):
    return [
        url.format(film=wildcards.film, video=Path(wildcards.film).stem) for url in source_of("source", "ava_films").url
    ]


def get_urls(wildcards, output):
    return list(source_of("file", wildcards.file).url)


def get_bytes(wildcards):
    size = source_of("file", wildcards.file).bytes.iloc[0]
    return int(size) if size else None


def get_sha256(wildcards):
    return source_of("file", wildcards.file).sha256.iloc[0] or None


def local(urls):
    """Those URLs that are files of this machine: a job that fetches one has it as an input."""
    return [url for url in urls if "://" not in url]


def get_local_film(wildcards):
    return local(get_film_urls(wildcards, output=None))


def get_local_file(wildcards):
    return local(get_urls(wildcards, output=None))


# --- Checkpoints -----------------------------------------------------------------------------------------------------


@cache  # as it looks through a folder
def own_checkpoint_of(method):
    """The user's own file, or None: a row without a source names it, that of another may lie in the user's folder."""
    row = METHODS.loc[method]
    if own := checks.own_file(row):
        return str(own)
    if not (row.source and HAVE["checkpoints"]):
        return None
    found = sorted(Path(HAVE["checkpoints"]).rglob(row.checkpoint))  # published copies differ in folder names
    if len(found) > 1 or (row.source == "checkpoints" and not found):
        raise WorkflowError(
            f"config: have: checkpoints: {HAVE['checkpoints']} holds {len(found)} files named {row.checkpoint}; one is "
            "needed"
        )
    return str(found[0]) if found else None


def checkpoint_of(method):
    """The path of a method's checkpoint, or None."""
    row, own = METHODS.loc[method], own_checkpoint_of(method)
    if own or not row.checkpoint:
        return own
    if row.source == "checkpoints":
        return f"{config['data']}/checkpoints/{row.checkpoint}"
    return f"{config['data']}/downloads/{source_of('source', row.source).file.iloc[0]}"


def get_checkpoint(wildcards):
    if wildcards.method not in METHODS.index:
        raise WorkflowError(f"{wildcards.method}: no such method in {config['methods_table']}")
    return checkpoint_of(wildcards.method) or []


def get_checkpoint_report(wildcards):
    """Of a user's own file alone: what is fetched is as published, and training refuses it in seconds if it is not."""
    own = wildcards.method in METHODS.index and own_checkpoint_of(wildcards.method)
    return f"{config['results']}/checkpoints/{wildcards.method}.txt" if own else []


# --- Runs ------------------------------------------------------------------------------------------------------------


def run_of(dataset, method, seed):
    """Everything that decides a run, in the shape of trainer.config.Run."""
    row, settings = METHODS.loc[method], config[dataset]
    data = {"frames": f"{LISTS}/{dataset}_frames.csv", "train": f"{LISTS}/{dataset}_train.csv"}
    data["test"] = f"{LISTS}/{dataset}_val.csv"
    if dataset == "ava":
        data |= {key: ANNOTATIONS[key] for key in SCORE_FILES}
    return {
        "dataset": dataset,
        "method": method,
        "seed": int(seed),
        "model": {
            "backbone": row.backbone,
            "checkpoint": checkpoint_of(method),
            "layout": row.layout,
            "dropout": config["dropout"],
            "bn_eps": float(row.bn_eps),
        },
        "clip": settings["clip"] | {"channels": row.channels, "mean": float(row["mean"]), "std": float(row["std"])},
        "data": data,
        "training": settings["training"],
        "machine": config["machine"] | {"ranks": gpus_of(dataset) or 1},
    }


def runs_of(dataset, method):
    """What decides each run of a method on a dataset, by its folder."""
    folder = f"{config['results']}/runs/{dataset}/{method}"
    return {f"{folder}/seed{seed}": run_of(dataset, method, seed) for seed in config[dataset]["seeds"]}


def get_run(wildcards):
    return run_of(**wildcards)


def get_fingerprint(wildcards):
    """What metrics.json is marked with, and tables look for."""
    return fingerprint(build(run_of(**wildcards)))


def get_lists(wildcards):
    """The checked lists of a dataset: what to read and what it shows."""
    return [f"{LISTS}/{wildcards.dataset}_{part}.csv" for part in ("frames", "train", "val")]


def get_score_files(wildcards):
    """What AVA's score reads beside the lists."""
    return [ANNOTATIONS[key] for key in SCORE_FILES if wildcards.dataset == "ava"]


def gpus_of(dataset):
    return config[dataset]["gpu"] if config["machine"]["device"] == "cuda" else 0


def get_gpus(wildcards):
    return gpus_of(wildcards.dataset)


def get_cpus_per_gpu(wildcards):
    """On a cluster: for the loaders and the process they feed. On a workstation all jobs share all cores."""
    return config["machine"]["workers"] + config["machine"]["threads"]


def get_memory(wildcards):
    """MB: of a process with its loaders, for each GPU."""
    return 32000 * (get_gpus(wildcards) or 1)


def get_runtime(wildcards):
    return config[wildcards.dataset]["runtime"]


if workflow.is_main_process:
    for dataset in config["datasets"]:
        for method in config["methods"]:
            checks.check_trained(runs_of(dataset, method))


# --- Results ---------------------------------------------------------------------------------------------------------


def get_datasets(wildcards):
    return [wildcards.dataset] if "dataset" in wildcards.keys() else config["datasets"]


def metrics_of(wildcards):
    """The metrics.json of all runs: the last file that a run writes."""
    runs = [runs_of(dataset, method) for dataset in get_datasets(wildcards) for method in config["methods"]]
    return [f"{folder}/metrics.json" for folders in runs for folder in folders]


def get_runs(wildcards):
    """All runs; what is partial waits for none and starts none."""
    return [] if wildcards.partial else metrics_of(wildcards)


def get_finished(wildcards):
    """For what is partial, the runs that have ended, and when: it is made again when this changes."""
    runs = metrics_of(wildcards) if wildcards.partial else []
    return {path: os.stat(path).st_mtime for path in runs if os.path.isfile(path)}


def get_published(wildcards):
    return config["published_table"] or []


def get_results(wildcards):
    """What workflow.scripts.results.read_results wants to know of each dataset."""
    methods = METHODS.loc[config["methods"], ["label", "pretraining"]].to_dict("index")
    return [
        {
            "dataset": dataset,
            "methods": methods,
            "runs": {method: runs_of(dataset, method) for method in config["methods"]},
            "published": config["published_table"],
        }
        for dataset in get_datasets(wildcards)
    ]


def table_names():
    """Tables to make: one of each dataset, and one of both."""
    return [f"{dataset}_table" for dataset in config["datasets"]] + ["side_by_side"] * (len(config["datasets"]) > 1)


def figure_names():
    """Figures to make: some need both datasets, published numbers, or a method without pre-training."""
    kinds = METHODS.loc[config["methods"], "pretraining"]
    names = ["map", "classes", "training"]
    names += ["gains"] * ("none" in set(kinds) and len(set(kinds)) > 1)
    names += ["ranking"] * bool(config["published_table"])
    names = [f"{dataset}_{name}" for dataset in config["datasets"] for name in names]
    return names + ["ava_against_charades"] * (len(config["datasets"]) > 1)


def get_figures(wildcards):
    return [f"{config['results']}/{wildcards.partial}figures/{name}.svg" for name in figure_names()]
