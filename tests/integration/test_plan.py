"""The jobs that Snakemake plans for a configuration, and the error of a wrong one. Nothing is run here."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.config import read_yaml
from tests.helpers.methods import ROW, own_row, write_methods
from tests.helpers.paths import ROOT, SNAKEMAKE
from tests.helpers.plan import elsewhere, jobs, plan

FILMS = {"films": ["-5KQ66BBWC4.mkv"]}  # plans of all 299 take longer


def test_full_run(tmp_path):
    output, status = plan("--cores", "8", "--resources", "gpu=4", *elsewhere(tmp_path))
    assert status == 0, output
    count = jobs(output)
    for rule in ("download_film", "cut_film", "extract_frames"):
        assert count[rule] == 299
    for rule in ("write_run_config", "finetune", "predict", "score"):
        assert count[rule] == 22
    assert f"Download {tmp_path}/data/ava/films/-5KQ66BBWC4.mkv\n" in output
    assert len(re.findall(r"Fine-tune \w+ on ava, seed 0 \(GPUs: 4; ", output)) == 11
    assert count["check_checkpoint"] == 10  # of all but scratch
    # A job is a line that says what it does.
    lines = output.splitlines()
    assert max(map(len, lines)) < 400  # not the 600 inputs of list_ava
    assert "Shell command: None" not in output
    assert [line for line in lines if line.endswith(": List AVA's examples and check them against the frames")]
    cut = f": Cut {tmp_path}/data/ava/films/2PpxiG0WU18.mkv to seconds 900-1801"
    assert len([line for line in lines if line.endswith(cut)]) == 1


def test_a_workstation_uses_its_visible_gpus_or_says_that_there_is_none(tmp_path, monkeypatch):
    table = [f"{tmp_path}/results/ava_table.csv", *elsewhere(tmp_path, methods=["scratch"], ava={"films": ["a.mkv"]})]
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho >>{tmp_path}/calls\n" + "echo 'NVIDIA RTX 5090, 32607, 590.48.01'\n" * 2)
    program.chmod(0o755)
    output, status = plan(*table)
    assert status == 0, output
    assert "GPUs of this machine: 2 (NVIDIA RTX 5090); use fewer by --resources gpu=1" in output
    assert re.findall(r"GPUs: \d", output) == ["GPUs: 2", "GPUs: 2"]
    assert (tmp_path / "calls").read_text() == "\n"  # one that hangs is waited for once
    output, status = plan(*table, "--resources", "gpu=1")
    assert re.findall(r"GPUs: \d", output) == ["GPUs: 1", "GPUs: 1"]
    program.write_text("#!/bin/sh\nexit 1\n")
    output, status = plan(*table)
    assert status == 0 and "warning: no GPU is visible, and config wants `machine: device: cuda`" in output


def test_jobs_are_not_taken_for_cores(tmp_path):
    """Without a cluster --jobs is refused: GPUs of this machine would be neither counted nor missed."""
    target, changes = f"{tmp_path}/results/runs/ava/scratch/seed0/config.yaml", elsewhere(tmp_path, ava=FILMS)
    command = [SNAKEMAKE, "--jobs", "2", "--nolock", target, *changes]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: -j, --jobs: counts the jobs of a cluster; ")
    assert not Path(target).exists()


def test_a_plan_for_a_cluster_checks_the_paths_that_its_shell_reads(tmp_path):
    output, status = plan("--jobs", "2", *elsewhere(tmp_path, data="$HOME/data", ava=FILMS))
    assert status == 1
    assert output.splitlines()[-1].startswith("error: config: data: expected a path without $ ")


def test_a_job_needs_no_file_of_other_jobs(tmp_path):
    """A node of a cluster need not see all folders of the one that plans."""
    film, existing = f"{tmp_path}/data/ava/films/a.mkv", {"checkpoints": str(tmp_path / "nowhere")}
    changes = elsewhere(tmp_path, existing=existing, ava={"films": ["a.mkv"]})
    assert plan(film, "--mode", "subprocess", *changes) == ("", 0)


def test_one_table_needs_only_its_dataset(tmp_path):
    output, status = plan(f"{tmp_path}/results/ava_table.csv", *elsewhere(tmp_path, ava=FILMS))
    assert status == 0, output
    count = jobs(output)
    assert count["finetune"] == 11
    assert not {"index_charades", "list_charades", "report_html"} & count.keys()


def test_all_parts_of_the_report_page_are_inputs(tmp_path):
    graph, status = plan(
        "--filegraph", f"{tmp_path}/results/partial/report.html", *elsewhere(tmp_path, methods=["scratch"], ava=FILMS)
    )
    assert status == 0, graph
    for name in ("style.css", "sort.js", "page.html.j2", "table.html.j2", "mean_ap.rst"):
        assert f"workflow/report/{name}" in graph


def test_an_own_method_is_one_more_row(tmp_path):
    (tmp_path / "mine.pth").touch()
    table = write_methods(tmp_path / "local.tsv", own_row("mine", tmp_path / "mine.pth"))
    output, status = plan(*elsewhere(tmp_path, methods=["scratch", "mine"], local_methods_table=str(table), ava=FILMS))
    assert status == 0, output
    assert jobs(output)["finetune"] == 4
    assert jobs(output)["check_checkpoint"] == 1
    assert str(tmp_path / "mine.pth") in output


def test_another_ffmpeg_makes_other_archives(tmp_path):
    own = tmp_path / "ffmpeg"
    own.write_text("#!/bin/sh\necho ffmpeg version 6.1/own\n")
    own.chmod(0o755)
    output, status = plan(*elsewhere(tmp_path, ffmpeg=str(own), ava=FILMS))
    assert status == 0, output
    assert f"{tmp_path}/data/ava/frames_900-1801_ffmpeg-6.1_own_30fps_q1_native/-5KQ66BBWC4.tar" in output


def test_existing_files_are_used_in_place(tmp_path):
    existing = {
        "ava_frames": "frames",
        "ava_annotations": "annotations",
        "charades_tar": "rgb.tar",
        "charades_lists": "lists",
        "checkpoints": "checkpoints",
    }
    files = [
        "frames/x/x_000001.jpg",
        "rgb.tar",
        "lists/train.csv",
        "lists/val.csv",
        "checkpoints/deep/selavi_kinetics.pth",
        "checkpoints/r2plus1d_18-91a641e6.pth",
        "annotations/ava_train_v2.2.csv",
        "annotations/ava_val_v2.2.csv",
        "annotations/ava_val_excluded_timestamps_v2.2.csv",
        "annotations/ava_action_list_v2.2_for_activitynet_2019.pbtxt",
        "annotations/person_box_67091280_iou90/ava_detection_train_boxes_and_labels_include_negative_v2.2.csv",
        "annotations/person_box_67091280_iou90/ava_detection_val_boxes_and_labels.csv",
    ]
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    existing = {key: str(tmp_path / path) for key, path in existing.items()}
    output, status = plan(*elsewhere(tmp_path, methods=["selavi", "supervised"], existing=existing, ava=FILMS))
    assert status == 0, output
    assert not [rule for rule in jobs(output) if rule.startswith(("download", "unpack", "cut", "extract"))]
    assert jobs(output)["check_checkpoint"] == 2


@pytest.mark.parametrize(
    ("existing", "first"),
    [("ava_films", {"cut_film", "extract_frames"}), ("ava_cuts", {"extract_frames"})],
)
def test_steps_before_existing_files_do_not_run(tmp_path, existing, first):
    for file in ("own/a.mkv", "own/-b.mp4", "loose/x/x-000001.jpg"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    ava, loose = {"films": ["a.mkv", "-b.mp4"]}, str(tmp_path / "loose")
    settings = {"methods": ["scratch"], "ava": ava, "existing": {existing: str(tmp_path / "own")}}
    settings["existing"]["charades_frames"] = loose
    output, status = plan(*elsewhere(tmp_path, **settings))
    assert status == 0, output
    count = jobs(output)
    assert {rule for rule in ("download_film", "cut_film", "extract_frames") if rule in count} == first
    assert all(count[rule] == 2 for rule in first)
    assert count["download"] == 3  # AVA's annotations, Charades' two lists: not its tar
    assert "index_charades" not in count


def test_a_corrected_name_of_a_class_lists_nothing_again(tmp_path):
    made = [tmp_path / f"results/lists/charades_{name}.csv" for name in ("folder", "frames", "train", "val")]
    given, names = tmp_path / "given", tmp_path / "names.csv"
    for file in (given / "train.csv", given / "val.csv", *made, names):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    existing = {"charades_frames": str(given), "charades_lists": str(given)}
    settings = {"existing": existing, "charades": {"label_map": str(names)}}
    os.utime(names, (2e9, 2e9))
    output, status = plan(str(made[-1]), *elsewhere(tmp_path, **settings))
    assert (status, "Nothing to be done" in output) == (0, True), output


def test_a_checkpoint_of_another_source_is_downloaded_if_missing(tmp_path):
    (tmp_path / "selavi_kinetics.pth").touch()
    existing = {"checkpoints": str(tmp_path)}
    methods = ["selavi", "supervised"]
    output, status = plan(*elsewhere(tmp_path, datasets=["charades"], methods=methods, existing=existing))
    assert status == 0, output
    assert f"{tmp_path}/data/downloads/r2plus1d_18-91a641e6.pth" in output
    assert "unpack_checkpoint" not in output
    assert jobs(output)["check_checkpoint"] == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"recipes": {"r2plus1d": {"ava": {"training": {"epohcs": 3}}}}},
            "config: recipes: r2plus1d: ava: training: unknown key epohcs (did you mean epochs?); known: batch_size, ",
        ),
        ({"methods_table": "config/nowhere.tsv"}, "config/nowhere.tsv: no such file"),
        ({"ffmpeg": "/nowhere/ffmpeg"}, "config: ffmpeg: /nowhere/ffmpeg: not a program"),
        ({"have": {"checkpoints": "config"}}, "config: have: unknown key; its new name is existing"),
    ],
)
def test_wrong_configuration(tmp_path, settings, message):
    """One of each kind; the others are in tests/workflow/lib/test_validation.py."""
    output, status = plan(*elsewhere(tmp_path, **settings))
    assert status == 1
    profile, error = output.splitlines()
    assert profile.startswith("Using workflow specific profile")
    assert error.startswith(f"error: {message}")


def test_a_comparison_with_nothing_is_refused_in_one_line(tmp_path):
    output, status = plan("compare", *elsewhere(tmp_path, methods=["scratch"], ava={"films": ["a.mkv"]}))
    assert status == 1
    expected = "error: config: against: expected the results of another experiment; add --config against=PATH"
    assert expected in output.splitlines()
    assert "Traceback" not in output and "Exception" not in output


@pytest.fixture
def checkout_copy(tmp_path):
    """Copy what a dry run needs into a folder of its own; return the folder."""
    for name in ("config", "trainer", "workflow"):
        ignored = shutil.ignore_patterns("__pycache__", "local*")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    return tmp_path


def test_a_start_in_the_folder_of_the_snakefile_is_refused_in_one_line(checkout_copy):
    folder, table = checkout_copy / "workflow", "results/charades_table.csv"
    output, status = plan(table, folder=folder)
    assert status == 1
    problem = "`data` and `results` would be made in this folder of code"
    assert output.splitlines()[1:] == [f"error: {folder}: {problem}; start Snakemake in {checkout_copy}"]
    output, status = plan(table, "--directory", str(checkout_copy), folder=folder)
    assert (status, jobs(output)["finetune"]) == (0, 11), output


def test_a_snakemake_without_the_packages_of_the_workflow_is_refused_in_one_line(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['requests'] = None\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    output, status = plan(*elsewhere(tmp_path))
    assert status == 1
    [line] = output.splitlines()[1:]
    assert line.startswith(f"error: {sys.executable} has no package requests; activate the environment of `make setup`")


@pytest.mark.parametrize("option", ["prefix: 'mine'", "replace_prefix: {'results': 'mine'}"])
def test_a_module_whose_paths_are_changed_is_refused_in_one_line(tmp_path, option):
    snakefile = str(ROOT / "workflow/Snakefile")
    (tmp_path / "Snakefile").write_text(
        f"module vssl:\n    snakefile: {snakefile!r}\n    {option}\n\nuse rule * from vssl as vssl_*\n"
    )
    output, status = plan(folder=tmp_path)
    assert status == 1
    assert output.startswith("error: module: prefix: ") and output.count("\n") == 1


def test_remote_storage_of_all_files_is_refused_in_one_line(tmp_path, monkeypatch):
    (tmp_path / "snakemake_storage_plugin_empty").mkdir()
    (tmp_path / "snakemake_storage_plugin_empty/__init__.py").write_text(
        "from snakemake_interface_storage_plugins.storage_object import StorageObjectRead, StorageObjectWrite\n"
        "from snakemake_interface_storage_plugins.storage_provider import StorageProviderBase\n\n\n"
        "class StorageObject(StorageObjectRead, StorageObjectWrite): pass\n"
        "class StorageProvider(StorageProviderBase): pass\n"
        "StorageProvider.__abstractmethods__ = frozenset()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    storage = ["--default-storage-provider", "empty", "--default-storage-prefix", "empty://"]
    output, status = plan(*storage, *elsewhere(tmp_path))
    assert status == 1
    [line] = output.splitlines()[1:]
    assert line.startswith("error: --default-storage-provider: ")


def test_local_settings_and_methods_are_read_if_they_exist(checkout_copy):
    table = ["results/charades_table.csv"]
    output, status = plan(*table, folder=checkout_copy)
    assert (status, jobs(output)["finetune"]) == (0, 11), output

    (checkout_copy / "mine.pth").touch()
    write_methods(checkout_copy / "config/local_methods.tsv", own_row("mine", "mine.pth"))
    output, status = plan(*table, folder=checkout_copy)
    assert (status, jobs(output)["finetune"]) == (0, 11), output  # the row is not selected

    local = "methods: all\ncharades: {seeds: [1, 2, 3]}\nava: {gpus: 1}\n"
    (checkout_copy / "config/local.yaml").write_text(local)
    output, status = plan(*table, folder=checkout_copy)
    assert status == 1
    assert "methods.tsv: videomae: checkpoint: no address of videomae_vit_b_k400.pth is known; download it" in output

    (checkout_copy / "files").mkdir()
    for line in (checkout_copy / "config/methods.tsv").read_text().splitlines():
        name = "".join(line.split("\t")[3:4])
        (checkout_copy / "files" / (name or "none")).touch()
    (checkout_copy / "config/local.yaml").write_text(f"{local}existing: {{checkpoints: files}}\n")
    output, status = plan(*table, folder=checkout_copy)
    assert (status, jobs(output)["finetune"]) == (0, 63), output  # 20 published rows and this one
    assert "Fine-tune mine on charades, seed 3 (" in output

    (checkout_copy / "mine.yaml").write_text("methods: [scratch, mine]")
    output, status = plan(*table, "--configfile", "mine.yaml", folder=checkout_copy)
    assert (status, jobs(output)["finetune"]) == (0, 6), output  # the command line is read last

    (checkout_copy / "config/local.yaml").write_text("methds: all")
    output, status = plan(*table, folder=checkout_copy)
    assert status == 1
    assert "config: unknown key methds (did you mean methods?); known: datasets, methods, " in output


def test_a_key_that_stands_twice_in_a_file_of_the_command_line_is_refused(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(f"results: {tmp_path}\ncharades: {{seeds: [1]}}\ncharades:\n  gpus: 1\n")
    output, status = plan(f"{tmp_path}/charades_table.csv", "--configfile", str(path))
    assert status == 1
    assert f"error: {path}: not YAML: key charades stands twice in " in output


def test_the_demo_ignores_local_settings_and_methods(checkout_copy):
    demo = ["results/demo/charades_table.csv", "--configfile", "config/demo.yaml"]
    before, status = plan(*demo, folder=checkout_copy)
    assert (status, jobs(before)["finetune"]) == (0, 13), before
    (checkout_copy / "config/local_methods.tsv").write_text("no table")
    (checkout_copy / "config/local.yaml").write_text(
        "{methods: all, charades: {seeds: [1, 2, 3]}, machine: {workers: 7}}"
    )
    after, status = plan(*demo, folder=checkout_copy)
    assert status == 0, after
    assert jobs(after) == jobs(before)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("checkpoints/mime.txt", "mime: no such method in config/methods.tsv and {folder}/local.tsv"),
        ("runs/ava/mime/seed0/model.pth", "mime: no such method in config/methods.tsv and {folder}/local.tsv"),
        ("charades_table.csv", "{folder}/local.tsv: mine: recipe: half has no settings for charades"),
    ],
)
def test_a_target_that_the_experiment_does_not_have(tmp_path, target, message):
    table = write_methods(tmp_path / "local.tsv", ROW | {"recipe": "half"})
    half = {"half": {"ava": read_yaml("recipes.yaml")["recipes"]["r2plus1d"]["ava"]}}
    settings = {"datasets": ["ava"], "methods": ["mine"], "local_methods_table": str(table), "recipes": half}
    output, status = plan(f"{tmp_path}/results/{target}", *elsewhere(tmp_path, **settings))
    assert status == 1
    assert output.splitlines()[-1] == f"error: {message.format(folder=tmp_path)}"
