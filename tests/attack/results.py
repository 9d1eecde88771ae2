"""Predictions, scores, and what tables, figures and the report page show of a run."""

import csv
import json

import numpy as np
import pandas as pd

from tests.attack.damage import (
    ANY_FILE,
    NO_NUMBERS,
    NO_WHOLE_NUMBERS,
    Damage,
    cells,
    columns,
    copy_of,
    values,
    wrong_types,
)
from tests.attack.samples import (
    JSON_FILE,
    TEXT_TABLE,
    zip_of,
)
from tests.attack.tries import Reader
from tests.helpers import made_up_results
from tests.helpers.small_run import FRAMES, small_run
from trainer import config
from trainer.data import charades_lists
from trainer.score import score
from trainer.utils.errors import InputError
from workflow.lib.report.examples import run_examples
from workflow.lib.report.results import class_means, histories
from workflow.lib.report.step_costs import step_costs
from workflow.lib.report.tables import damage as damage_of
from workflow.lib.report.tables import table
from workflow.scripts.report_html import facts, jobs_of_runs

SCORES = ("metrics.json", "per_class.csv")


def make_scored(dataset):
    def make(folder):
        run = config.load(small_run(folder, dataset))
        rng = np.random.default_rng(0)
        if dataset == "ava":
            with (folder / "list.csv").open() as file:
                rows = list(csv.DictReader(file))
            arrays = {
                "row": np.arange(len(rows)),
                "video": np.array([row["video"] for row in rows]),
                "second": np.array([int(row["second"]) for row in rows]),
                "box": np.array([[float(row[x]) for x in ("x1", "y1", "x2", "y2")] for row in rows], np.float32),
                "score": rng.random((len(rows), 80), np.float32),
            }
        else:
            listed = charades_lists.read_list(folder / "list.csv")
            targets = [charades_lists.label_union(listed.segments_of(i), 0, FRAMES - 1) for i in range(len(listed))]
            arrays = {"row": np.arange(len(listed)), "video": listed.names, "target": np.array(targets)}
            arrays["score"] = rng.random((len(listed), 157), np.float32)
        np.savez_compressed(folder / "predictions.npz", fingerprint=config.result_fingerprint(run), **arrays)
        summary = {"parameters": 5, "gflops": 0.5, "epochs": 3, "videos_trained": 6, "clips_trained": 6}
        summary["fingerprint"] = config.training_fingerprint(run)
        (folder / "summary.json").write_text(json.dumps(summary))
        made = {"time": "2026-11-25T08:00:00.000+00:00", "code": "a", "processor": "b", "packages": {"torch": "2"}}
        (folder / "environment.json").write_text(json.dumps(made))

    return make


def scored(folder):
    score(config.load(folder / "config.yaml"), folder)
    return (folder / "metrics.json").read_text(), (folder / "per_class.csv").read_text()


def _npz(change) -> Damage:
    def apply(path):
        with np.load(path) as arrays:
            changed = change(dict(arrays))
        path.unlink()
        np.savez_compressed(path, **changed)

    return apply


def _first(name, value):
    def change(arrays):
        arrays[name] = arrays[name].astype(np.float64) if arrays[name].dtype.kind == "f" else arrays[name]
        arrays[name].flat[0] = value
        return arrays

    return _npz(change)


PREDICTIONS: dict[str, Damage] = {
    "a NaN score": _first("score", np.nan),
    "an infinite score": _first("score", np.inf),
    "no scores": _npz(lambda arrays: {name: array for name, array in arrays.items() if name != "score"}),
    "no videos": _npz(lambda arrays: {name: array for name, array in arrays.items() if name != "video"}),
    "a row less of scores": _npz(lambda arrays: arrays | {"score": arrays["score"][1:]}),
    "a row less of all": _npz(lambda arrays: {n: a[1:] if a.ndim else a for n, a in arrays.items()}),
    "a class less": _npz(lambda arrays: arrays | {"score": arrays["score"][:, 1:]}),
    "scores of one dimension": _npz(lambda arrays: arrays | {"score": arrays["score"].ravel()}),
    "scores as text": _npz(lambda arrays: arrays | {"score": arrays["score"].astype(str)}),
    "scores as objects": _npz(lambda arrays: arrays | {"score": arrays["score"].astype(object)}),
    "complex scores": _npz(lambda arrays: arrays | {"score": arrays["score"].astype(complex)}),
    "no rows": _npz(lambda arrays: {n: a[:0] if a.ndim else a for n, a in arrays.items()}),
    "another run": _npz(lambda arrays: arrays | {"fingerprint": "other"}),
    "no fingerprint": _npz(lambda arrays: {n: a for n, a in arrays.items() if n != "fingerprint"}),
    "unknown videos": _npz(lambda arrays: arrays | {"video": np.char.add(arrays["video"], "x")}),
    "rows reversed": _npz(lambda arrays: {n: a[::-1] if a.ndim else a for n, a in arrays.items()}),
    "all rows twice": _npz(lambda arrays: {n: np.concatenate([a, a]) if a.ndim else a for n, a in arrays.items()}),
    "an .npy": lambda path: (np.save(path.with_suffix(".npy"), np.arange(3)), copy_of(path.with_suffix(".npy"))(path)),
    "a zip of other files": lambda path: zip_of(path, {"score.npy": b"x", "video.npy": b""}),
}


AVA_PREDICTIONS: dict[str, Damage] = PREDICTIONS | {
    "no boxes": _npz(lambda arrays: {n: a for n, a in arrays.items() if n != "box"}),
    "boxes of 3 numbers": _npz(lambda arrays: arrays | {"box": arrays["box"][:, :3]}),
    "a NaN box": _first("box", np.nan),
    "seconds as text": _npz(lambda arrays: arrays | {"second": arrays["second"].astype(str)}),
    "a second less": _npz(lambda arrays: arrays | {"second": arrays["second"][1:]}),
}


CHARADES_PREDICTIONS: dict[str, Damage] = PREDICTIONS | {
    "no targets": _npz(lambda arrays: {n: a for n, a in arrays.items() if n != "target"}),
    "a target of 0.5": _first("target", 0.5),
    "a NaN target": _first("target", np.nan),
    "a class less of targets": _npz(lambda arrays: arrays | {"target": arrays["target"][:, 1:]}),
}


RUN_FOLDER = "charades/moco/seed1"


def make_results(folder):
    made_up_results.made_up(folder)
    (folder / "records").mkdir()
    (folder / "records/film.json").write_text(json.dumps({"video": "film", "ffmpeg": "7.1", "frames": 5}, indent=2))
    (folder / "benchmarks/finetune/charades/moco").mkdir(parents=True)
    lines_of = "s\th:m:s\tmax_rss\tmax_vms\n120.5\t0:02:00\t2048.5\t4096\n"
    (folder / "benchmarks/finetune/charades/moco/seed1.tsv").write_text(lines_of)


PENDING = "the run is shown as pending"


def read_report(folder):
    """Read all that tables, figures and the report page show of finished runs; a damaged run must not be skipped."""
    results = made_up_results.read(folder)
    if results.pending:  # a run whose metrics are of other settings is not shown
        return PENDING
    epochs = {method: [rows[["epoch", "loss", "mAP"]] for rows in runs] for method, runs in histories(results).items()}
    return [
        table(results),
        class_means(results),
        epochs,
        list(facts([results], jobs_of_runs([results]), folder / "records").items())[:5],
    ]


def read_costs(folder):
    return step_costs(folder / "benchmarks", {"charades/moco/seed1": [{"gpus": ["one"], "hours": 0.0}]})


def read_partial(folder):
    """Read the same for results/partial/: there a damaged run is shown as such, and the others count."""
    results = made_up_results.read(folder, partial=True)
    shown = table(results).set_index("method")
    others = shown.mAP.drop("moco").round(6).tolist()
    assert others == [12.0, 25.0, 40.0], others
    class_means(results), histories(results), facts([results], jobs_of_runs([results]), folder / "records")
    status = shown.get("status", {}).get("moco", "finished")
    if status == "pending":
        return PENDING
    if status != "finished":
        assert pd.isna(shown.mAP["moco"])
        raise InputError(f"{status}; {' '.join(damage_of(results))}")
    return shown.mAP.tolist()


def make_examples(folder):
    make_scored("charades")(folder)
    score(config.load(folder / "config.yaml"), folder)


def read_examples(folder):
    return run_examples(folder)


RESULT_VALUES = {
    "metrics.json": ("mAP", "method", "seed", "epochs", "fingerprint", "trained"),
    "environment.json": ("time", "code", "processor", "packages"),
}


def _json_values(keys):
    return values(json.loads, json.dumps, wrong_types, lambda found: found[0] in keys)


READERS = [
    Reader("score AVA", ("predictions.npz",), make_scored("ava"), scored, ANY_FILE | AVA_PREDICTIONS, outputs=SCORES),
    Reader(
        "score Charades",
        ("predictions.npz",),
        make_scored("charades"),
        scored,
        ANY_FILE | CHARADES_PREDICTIONS,
        outputs=SCORES,
    ),
    Reader(
        "score, summary",
        ("summary.json",),
        make_scored("charades"),
        scored,
        JSON_FILE,
        _json_values(("epochs",)),
        outputs=SCORES,
    ),
    Reader(
        "score, environment",
        ("environment.json",),
        make_scored("charades"),
        scored,
        JSON_FILE,
        _json_values(("time",)),
        outputs=SCORES,
    ),
    *(
        Reader(
            f"{title}, {name}",
            (f"{RUN_FOLDER}/{name}",),
            make_results,
            read,
            kind,
            (name in RESULT_VALUES and _json_values(RESULT_VALUES[name])) or None,
            named=r"(metrics|per_class|history)\.\w+" if name == "metrics.json" else None,  # which they contradict
        )
        for title, read in (("report", read_report), ("partial", read_partial))
        for name, kind in {
            "metrics.json": JSON_FILE,
            "environment.json": JSON_FILE,
            "per_class.csv": TEXT_TABLE | columns(",") | cells(",", {2: NO_NUMBERS[1:]}, 1),
            "history.csv": TEXT_TABLE | columns(",") | cells(",", {0: NO_WHOLE_NUMBERS, 3: NO_NUMBERS[1:]}),
        }.items()
    ),
    Reader(
        "report, record of a film",
        ("records/film.json",),
        make_results,
        read_report,
        JSON_FILE,
        _json_values(("ffmpeg",)),
    ),
    Reader(
        "report, benchmark",
        ("benchmarks/finetune/charades/moco/seed1.tsv",),
        make_results,
        read_costs,
        TEXT_TABLE | columns("\t") | cells("\t", {0: NO_NUMBERS[1:], 2: NO_NUMBERS[1:]}),
    ),
    Reader(
        "report, examples",
        ("predictions.npz", "per_class.csv", "list.csv", "frames.csv", "config.yaml"),
        make_examples,
        read_examples,
        ANY_FILE,
    ),
]
