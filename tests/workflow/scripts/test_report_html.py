"""The report page: one file that holds everything, opens without network, and sorts."""

import io
import json
import os
import re
import tarfile
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import simplejpeg
import yaml

from tests.helpers.browser import needs_browser, overflow, title_of
from tests.helpers.config import published, read_yaml
from tests.helpers.damage import empty, make_folder, truncate, write_noise
from tests.helpers.made_up_results import (
    ALIKE,
    CLASSES,
    METHODS,
    ONE_SEED,
    RUN,
    made_up,
    read,
    with_recipes,
    write_published,
)
from trainer.data.frame_archive import write_index
from trainer.utils.errors import InputError
from workflow.lib.report import plot_style
from workflow.lib.report.dataset_scatter import plot_dataset_scatter
from workflow.lib.report.examples import best_run_examples, evenly_spaced, run_examples
from workflow.lib.report.failures import find_failures, most_confident
from workflow.lib.report.figures import figures_of
from workflow.lib.report.step_costs import step_costs
from workflow.lib.tar_index import index_tar
from workflow.scripts.plot_mean_ap import plot_mean_ap
from workflow.scripts.report_html import duration, facts, jobs_of_runs, report

pytestmark = pytest.mark.long

TEMPLATE = Path(__file__).parents[3] / "workflow/report/report.html.j2"
CONFIG = published(note="Runs that nobody trained <yet>.", recipes={"r2plus1d": {"ava": {"dropout": 0.25}}})
PUBLISHED = read_yaml("published.yaml")
METHOD_ROWS = dict.fromkeys(METHODS, ALIKE | PUBLISHED["method"])


def with_predictions(folder, results):
    """Add frames of one video, its lists, config.yaml and predictions to every run; return ``results``."""
    write_frames(folder)
    names = {1: "bend/bow (at the waist)", 2: "talk to (e.g., self, a person, a group)", 4: "dance"}
    entries = [f'item {{\n  name: "{name}"\n  id: {number}\n}}\n' for number, name in names.items()]
    (folder / "labels.pbtxt").write_text("".join(entries))
    (folder / "truth.csv").write_text("-v,0902,0.1,0.2,0.5,0.9,1,0\n-v,0902,0.1,0.2,0.5,0.9,4,0\n-v,0903,0,0,1,1,4,0\n")
    (folder / "excluded.csv").write_text("-v,0903\n")
    box = "0.120,0.200,0.500,0.900"
    (folder / "list.csv").write_text(
        f"video,second,center,x1,y1,x2,y2,labels\n-v,902,20,{box},\n-v,902,20,0.7,0.1,0.9,0.9,\n-v,903,39,{box},\n"
    )
    files = {"frames": "frames.csv", "train": "list.csv", "test": "list.csv", "label_map": "labels.pbtxt"}
    if results.dataset == "ava":
        files |= {"ground_truth": "truth.csv", "excluded": "excluded.csv"}
    else:
        files |= {"label_map": "classes.tsv", "test": "videos.csv"}
        lines = [f"{number}\t{name}\n" for number, name in enumerate(CLASSES)]
        (folder / "classes.tsv").write_text("".join(["action\tname\n", *lines]))
        (folder / "videos.csv").write_text("video,first,last,labels\n-v,0,39,1 2\n")
    run = RUN | {"dataset": results.dataset, "data": {name: str(folder / file) for name, file in files.items()}}
    for row in results.runs.itertuples():
        Path(row.folder, "config.yaml").write_text(yaml.safe_dump(run))
        scores = np.array([[0.8, 0.1, 0.9, 0.3], [0.2, 0.7, 0.0, 0.1], [0.1, 0.1, 0.1, 0.1]])
        if results.dataset == "ava":
            boxes = np.array([[0.12, 0.2, 0.5, 0.9], [0.7, 0.1, 0.9, 0.9], [0.12, 0.2, 0.5, 0.9]])
            arrays = {"video": np.array(["-v"] * 3), "second": np.array([902, 902, 903]), "box": boxes, "score": scores}
        else:
            target = np.array([[0, 1, 1, 0]])
            arrays = {"video": np.array(["-v"]), "target": target, "score": scores[:1]}
        np.savez(f"{row.folder}/predictions.npz", **arrays)
    return results


def write_frames(folder):
    with tarfile.open(folder / "frames.tar", "w") as tar:
        for number in range(40):
            jpeg = simplejpeg.encode_jpeg(np.full((60, 80, 3), 6 * number, np.uint8))
            member = tarfile.TarInfo(f"-v/-v_{number + 1:06d}.jpg")
            member.size = len(jpeg)
            tar.addfile(member, io.BytesIO(jpeg))
    write_index(folder / "frames.npy", [place[1:] for place in index_tar(folder / "frames.tar")])
    row = f"-v,40,{folder}/frames.tar,{folder}/frames.npy,0"
    (folder / "frames.csv").write_text(f"video,frames,archive,index,first\n{row}\n")


def write_page(folder, without=()):
    """Write a report of both datasets; return its path."""
    datasets, numbers = [], write_published(folder / "published.tsv")
    for dataset, seed in (("ava", 0), ("charades", 1)):
        (folder / dataset).mkdir()
        results = made_up(folder / "runs", dataset, (seed,), numbers, without)
        datasets.append(with_predictions(folder / dataset, results))
    figures = [folder / f"{results.dataset}_mean_ap.svg" for results in datasets]
    for results, path in zip(datasets, figures, strict=True):
        plot_style.save(plot_mean_ap(results), [path])
    figures.append(folder / "dataset_scatter.svg")
    plot_style.save(plot_dataset_scatter(datasets), figures[-1:])
    (folder / "records").mkdir()
    (folder / "records" / "-v.json").write_text('{"ffmpeg": "7.0.2-static"}')
    page = folder / "report.html"
    shown = figures_of([results.dataset for results in datasets], [], False)
    figures = {path: shown[path.stem] for path in figures}
    text = report(TEMPLATE, datasets, figures, folder / "none", folder / "records", CONFIG, PUBLISHED, METHOD_ROWS)
    page.write_text(text, encoding="utf-8")
    return page


def test_the_page_holds_everything(tmp_path):
    text = write_page(tmp_path).read_text()
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))
    for said in (
        *("No pre-training", "40.0", "AVA difference", "AVA: mAP per method", "r2plus1d: ava: dropout 0.5 0.25"),
        *("7.0.2-static", "4 of 4 runs finished", "-v, second 902", "commit", "AVA and Charades: mAP compared"),
        *("On AVA, 6 of 6 pairs of methods can be told apart.", "Charades: differences of mAP in points, 6 pairs"),
        *("are not covered for methods with one seed; to cover them, add seeds to ava: seeds.", ONE_SEED),
    ):
        assert said in words, said
    assert "pending" not in words
    assert 'role="note">Runs that nobody trained &lt;yet&gt;.</p>' in text
    assert "Settings that differ from the published recipe : 3." in words
    assert '<span class="best ">40.0 [' in text
    assert '<span class=" best-self-supervised">25.0 [' in text


def test_the_page_asks_nothing_of_the_network(tmp_path):
    text = write_page(tmp_path).read_text()

    class Addresses(HTMLParser):
        def handle_starttag(self, tag, attributes):
            for name, value in attributes:
                if name in ("src", "href", "xlink:href", "action", "srcset") and not value.startswith(("#", "data:")):
                    found.append((tag, name, value))

    found = []
    Addresses().feed(text)
    assert found == []
    assert not re.search(r"@import|url\((?!#)", text)


def test_pending_runs_are_announced_at_the_top(tmp_path):
    text = write_page(tmp_path, without=[("supervised", 0), ("supervised", 1), ("moco", 1)]).read_text()
    assert "3 of 8 runs are pending" in text
    assert text.count(">pending</td>") == 2 * 3  # in the table of both, and of each


def test_ids_are_not_twice(tmp_path):
    found = re.findall(r'\bid="([^"]+)"', write_page(tmp_path).read_text())
    assert len(found) == len(set(found))


def test_examples_of_ava(tmp_path):
    results = with_predictions(tmp_path, made_up(tmp_path / "runs", "ava", (0,)))
    [example] = run_examples(results.runs.folder[0])  # second 903 is excluded
    first, second = example.subjects
    assert first.labels == ["bend/bow (at the waist)", "dance"]  # its box overlaps the true one by 0.95
    assert second.labels == []
    shown = [(p.name, p.score, p.annotated) for p in first.predictions]
    # class 3 has no name, since it is not evaluated
    talk = ("talk to (e.g., self, a person, a group)", 0.1, False)
    assert shown == [("bend/bow (at the waist)", 0.8, True), ("dance", 0.3, True), talk]
    assert len(example.strip) == 5 and example.image.startswith("data:image/jpeg;base64,")


def test_examples_of_charades(tmp_path):
    results = with_predictions(tmp_path, made_up(tmp_path / "runs"))
    [example] = run_examples(results.runs.folder[0])
    assert example.image is None and len(example.strip) == 5
    [subject] = example.subjects
    assert subject.labels == ["dance", "talk to (e.g., self, a person, a group)"]
    assert [p.annotated for p in subject.predictions] == [True, False, False, True]


def test_missing_frames_are_reported(tmp_path):
    results = with_predictions(tmp_path, made_up(tmp_path / "runs"))
    (tmp_path / "frames.tar").unlink()
    with pytest.raises(InputError, match="frame 0 of video -v"):
        run_examples(results.runs.folder[0])
    shown = best_run_examples(results)
    assert shown.examples == [] and "frame 0 of video -v" in shown.missing
    assert "frame 0 of video -v" in find_failures(results).runs[0].problem


@pytest.mark.parametrize("damage", [empty, truncate, make_folder, write_noise])
@pytest.mark.parametrize("name", ["predictions.npz", "config.yaml", "per_class.csv"])
def test_damaged_files_of_the_best_run_are_reported(tmp_path, name, damage):
    results = with_predictions(tmp_path, made_up(tmp_path / "runs"))
    path = Path(results.runs.folder[3], name)
    damage(path)
    shown = best_run_examples(results)
    assert shown.examples == [] and shown.missing.startswith(f"{path}: ") and "\n" not in shown.missing


def test_missing_lists_are_reported(tmp_path):
    results = with_predictions(tmp_path, made_up(tmp_path / "runs"))
    (tmp_path / "frames.csv").unlink()
    assert "frames.csv" in best_run_examples(results).missing


def test_the_page_names_damaged_runs_and_files(tmp_path):
    published = write_published(tmp_path / "published.tsv")
    made_up(tmp_path / "runs", "charades", (1,), published)
    empty(tmp_path / "runs/charades/moco/seed1/history.csv")
    results = with_predictions(tmp_path, read(tmp_path / "runs", published=published, partial=True))
    (tmp_path / "costs/cut_film").mkdir(parents=True)
    (tmp_path / "costs/cut_film/a.tsv").touch()
    (tmp_path / "records").mkdir()
    (tmp_path / "records/a.json").touch()
    folders = tmp_path / "costs", tmp_path / "records"
    text = report(TEMPLATE, [results], {}, *folders, CONFIG, PUBLISHED, METHOD_ROWS, partial=True)
    assert "damaged: seed1/history.csv" in text
    assert f"Not counted: {tmp_path}/runs/charades/moco/seed1/history.csv: damaged (empty" in text
    assert f"unknown ({tmp_path}/records/a.json: damaged" in text


def test_examples_are_of_the_best_run(tmp_path):
    results = with_predictions(tmp_path, made_up(tmp_path / "runs"))
    shown = best_run_examples(results)
    assert (shown.title, shown.method, shown.missing) == ("Charades", "Supervised", "")
    assert [example.title for example in shown.examples] == ["-v"]


def test_failures_of_ava_are_those_of_the_best_method_and_of_no_pretraining(tmp_path):
    results = with_predictions(tmp_path, made_up(tmp_path / "runs", "ava", (0,)))
    found = find_failures(results)
    assert [run.method for run in found.runs] == ["Supervised", "No pre-training"]
    assert not any(run.problem for run in found.runs)
    [mistake], [missed] = found.runs[0].mistakes, found.runs[0].missed
    # Of second 902: 0.7 for "talk" at the second box; its first box shows "bend" (0.8) and "dance" (0.3).
    assert (mistake.name, mistake.score, mistake.title) == (CLASSES[1], 0.7, "-v, second 902")
    assert mistake.box == (0.7, 0.1, 0.9, 0.9) and mistake.images[0].startswith("data:image/jpeg;base64,")
    assert (missed.name, missed.score, missed.box) == ("dance", 0.3, (0.12, 0.2, 0.5, 0.9))
    rows = found.classes.rows
    assert [cell.text for cell in rows[0]][:3] == ["bend/bow (at the waist)", "48.0", "8.0"]
    assert rows[0][4].text == "+13.3 of +28.0"  # 40 points of a class, of three classes


def test_failures_of_charades(tmp_path):
    results = with_predictions(tmp_path, made_up(tmp_path / "runs"))
    run = find_failures(results).runs[0]
    assert [(one.name, one.score, one.title) for one in run.mistakes] == [(CLASSES[0], 0.8, "-v")]
    assert [(one.name, one.score) for one in run.missed] == [(CLASSES[1], 0.1)]
    assert len(run.missed[0].images) == 5 and run.missed[0].box is None


def test_one_failure_of_each_video():
    rows = {"video": list("aabbcd"), "score": [0.9, 0.8, 0.7, 0.95, 0.1, 0.2]}
    judged = pd.DataFrame(rows)
    assert most_confident(judged).score.tolist() == [0.95, 0.9, 0.2]
    assert most_confident(judged, least=True).score.tolist() == [0.1, 0.2, 0.7]


def test_without_a_baseline_failures_are_of_the_best_method_alone(tmp_path):
    results = with_predictions(tmp_path, made_up(tmp_path / "runs", without=[("scratch", 1)]))
    found = find_failures(results)
    assert [run.method for run in found.runs] == ["Supervised"] and found.classes is None
    other = with_recipes(made_up(tmp_path / "all"), "vit", "r2plus1d", "r2plus1d", "r2plus1d")
    assert [run.method for run in find_failures(other.comparable()[1]).runs] == ["Supervised"]


def test_failures_are_beside_no_pretraining_by_the_recipe_of_the_best_method(tmp_path):
    results = with_recipes(made_up(tmp_path), "r2plus1d", "low_rate", "r2plus1d", "low_rate")
    results = replace(results, methods=results.methods.assign(group="r2plus1d"))
    results.methods.loc["moco", "pretraining"] = "none"
    found = find_failures(results)
    assert [run.method for run in found.runs] == ["Supervised", "MoCo"]
    assert "AP of MoCo" in found.classes.columns


def test_each_recipe_has_its_own_examples_and_failures(tmp_path):
    results = with_predictions(tmp_path, made_up(tmp_path / "runs"))
    results = with_recipes(results, "vit", "r2plus1d", "r2plus1d", "vit")
    text = report(TEMPLATE, [results], {}, tmp_path / "none", tmp_path / "none", CONFIG, PUBLISHED, METHOD_ROWS)
    for recipe, best, failures in (("vit", "Supervised", 2), ("r2plus1d", "VideoMoCo", 1)):
        title = f"Charades (recipe {recipe})"
        assert f"<h3>{title}: {best}, the method with the highest mAP</h3>" in text
        found = re.search(rf"<h3>{re.escape(title)}</h3>(.*?)<h[23]", text, re.DOTALL)[1]
        assert re.findall("<h4>(.*?)</h4>", found) == [best, "No pre-training"][:failures]


def test_evenly_spaced():
    assert evenly_spaced(list(range(10)), 4) == [0, 3, 6, 9]
    assert evenly_spaced([7], 4) == [7] and evenly_spaced([], 4) == []


def test_cost_is_summed_by_step_and_dataset(tmp_path):
    for path, seconds, memory in (
        ("cut_film/a.tsv", 60, "10"),
        ("finetune/ava/moco/seed0.tsv", 7200, "2048"),
        ("finetune/ava/tclr/seed0.tsv", 3600, "1024"),
        ("finetune/ava/gone/seed0.tsv", 3600, "1024"),
        ("predict/ava/tclr/seed0.tsv", 3600, "1024"),
        ("score/ava/tclr/seed0.tsv", 3600, "1024"),
        ("finetune/charades/moco/seed1.tsv", 1800, "-"),
        ("index_charades.tsv", 36, "-"),
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:00\t{memory}\n")
        os.utime(tmp_path / path, (seconds, seconds))
    jobs_of_runs = {
        "ava/moco/seed0": [{"gpus": ["one"] * 4, "hours": 1.9}],
        "ava/tclr/seed0": [{"gpus": ["one"] * 2, "hours": 1.5}, {"gpus": ["one"] * 4, "hours": 0.9}],
        "charades/moco/seed1": [{"gpus": ["one"], "hours": 8.0}],  # its last job only wrote the outputs again
    }
    costs = step_costs(tmp_path, jobs_of_runs).set_index(["step", "dataset"])
    ava = costs.loc["finetune", "ava"]
    assert (ava.jobs, ava.hours, ava.longest, ava.gpu_hours, ava.memory) == (3, 4.5, 2, 15, 2)
    assert costs.loc[("finetune", "charades"), "gpu_hours"] == 8
    for step, gpu_hours in (("predict", 4), ("score", 0)):
        assert tuple(costs.loc[(step, "ava"), ["jobs", "hours", "gpu_hours"]]) == (1, 1, gpu_hours)
    assert costs.loc[("cut_film", ""), "gpu_hours"] == 0
    steps = ["index_charades", "cut_film", "finetune", "finetune", "predict", "score"]
    assert list(costs.index.get_level_values(0)) == steps
    assert step_costs(tmp_path / "nothing", {}).empty


def test_durations():
    assert [duration(hours) for hours in (0.002, 0.5, 26.51)] == ["7 s", "30 min 0 s", "26 h 30 min"]


def test_facts_name_code_and_machines_of_the_runs(tmp_path):
    results = with_predictions(tmp_path, made_up(tmp_path / "runs"))
    other = {
        "time": "2026-11-26T09:30:00.000+00:00",
        "code": "commit b",
        "processor": "a CPU",
        "packages": {"torch": "2.16.0"},
        "gpus": ["a GPU", "a GPU"],
    }
    Path(results.runs.folder[1], "environment.json").write_text(json.dumps(other))
    found = facts([results], jobs_of_runs([results]), tmp_path)
    assert found["Code of the runs"] == "commit a; commit b"
    assert found["Trained on"] == "a CPU, a GPU"
    assert found["PyTorch of the runs"] == "2.15.0, 2.16.0"
    assert found["Training started"] == "2026-11-25 08:00 to 2026-11-26 09:30"


def test_facts_without_a_run(tmp_path):
    found = facts([made_up(tmp_path, without=[(method, 1) for method in METHODS])], {}, tmp_path)
    assert found["Charades"] == "0 of 4 runs finished, 4 methods, seeds –"
    assert "Training started" not in found and "ffmpeg" not in found


# In a browser ---------------------------------------------------------------------------------------------------------

# Clicks two headings and writes into the title what a person would see.
SCRIPT = """
<script>
const errors = [];
addEventListener("error", event => errors.push(event.message || "a resource did not load"), true);
addEventListener("load", () => {
  const table = document.querySelectorAll(".sortable")[1];
  const first = () => [...table.tBodies[0].rows].map(row => row.cells[0].textContent.trim()).join(",");
  const seen = [first()];
  const buttons = table.querySelectorAll("button");
  buttons[1].click(); seen.push(first());
  buttons[1].click(); seen.push(first());
  buttons[0].click(); seen.push(first());
  const broken = [...document.images].filter(image => !image.naturalWidth).length;
  const box = document.querySelector(".box").getBoundingClientRect();
  const frame = document.querySelector(".frame").getBoundingClientRect();
  const place = (box.left - frame.left) / frame.width;
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  document.title = JSON.stringify({errors, seen, broken, wide, place, images: document.images.length});
});
</script>
"""


@needs_browser
@pytest.mark.parametrize("width", [1300, 500])
def test_in_a_browser(tmp_path, width):
    page = write_page(tmp_path)
    page.write_text(page.read_text().replace("<head>", "<head>" + SCRIPT, 1))
    seen = title_of(page, width)
    assert seen["errors"] == [] and seen["broken"] == 0
    assert seen["images"] == (1 + 5 + 5) + 4 * (1 + 5)  # of examples and of failures
    assert seen["wide"] == 0  # the page itself never scrolls sideways
    assert seen["place"] == pytest.approx(0.12, abs=0.005)  # of the first box, a fraction of the frame
    assert seen["seen"] == [
        "No pre-training,MoCo,VideoMoCo,Supervised",
        "Supervised,VideoMoCo,MoCo,No pre-training",  # the best mAP first
        "No pre-training,MoCo,VideoMoCo,Supervised",
        "MoCo,No pre-training,Supervised,VideoMoCo",  # by name
    ]


@needs_browser
def test_on_a_phone(tmp_path):
    assert overflow(write_page(tmp_path), 420) == 0
