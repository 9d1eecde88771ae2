"""The plan that Snakemake makes of a configuration, and what it says of a wrong one. Nothing is run here."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SNAKEMAKE = str(Path(sys.executable).with_name("snakemake"))


def plan(*arguments):
    """Output and exit status of a dry run in a results folder that has nothing yet."""
    command = [SNAKEMAKE, "-n", "--nolock", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr, done.returncode


def jobs(output):
    """{rule: number of jobs} of a dry run's table."""
    table = output.split("Job stats:")[1].split("Reasons:")[0]
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}


def elsewhere(folder, **settings):
    """Arguments that keep data and results away from those of the checkout, and change settings."""
    path = folder / "changes.yaml"
    path.write_text(yaml.safe_dump({"data": str(folder / "data"), "results": str(folder / "results"), **settings}))
    return ["--configfile", str(path)]


def test_full_run(tmp_path):
    output, status = plan("--cores", "8", "--resources", "gpu=4", *elsewhere(tmp_path))
    assert status == 0, output
    count = jobs(output)
    for rule in ("download_film", "cut_film", "extract_frames"):
        assert count[rule] == 299
    for rule in ("run_config", "finetune", "predict", "score"):
        assert count[rule] == 22
    assert f"{tmp_path}/data/ava/films/-5KQ66BBWC4.mkv" in output
    ava_runs = [block for block in output.split("\n\n") if "dataset=ava" in block and "rule finetune" in block]
    assert len(ava_runs) == 11
    assert all("gpu=4" in block for block in ava_runs)
    assert "check_checkpoint" not in count  # what is fetched is as published


def test_one_table_is_just_that(tmp_path):
    output, status = plan(f"{tmp_path}/results/ava_table.csv", *elsewhere(tmp_path))
    assert status == 0, output
    count = jobs(output)
    assert count["finetune"] == 11
    assert not {"index_charades", "list_charades", "report_html"} & count.keys()


def methods_with(folder, **checkpoints):
    """A methods table in ``folder`` that has the README's row once more for each of ``checkpoints``: {method: path}."""
    row = re.search(r"^printf '(mine.*)\\n' >> config/methods.tsv$", (ROOT / "README.md").read_text(), re.MULTILINE)[1]
    rows = [row.replace("mine", name).replace("/path/of/my.pth", str(path)) for name, path in checkpoints.items()]
    table = folder / "methods.tsv"
    table.write_text((ROOT / "config/methods.tsv").read_text() + "\n".join(rows).replace("\\t", "\t") + "\n")
    return str(table)


def test_own_method_is_one_row_more(tmp_path):
    (tmp_path / "mine.pth").touch()
    table = methods_with(tmp_path, mine=tmp_path / "mine.pth")
    output, status = plan(*elsewhere(tmp_path, methods=["scratch", "mine"], methods_table=table))
    assert status == 0, output
    assert jobs(output)["finetune"] == 4
    assert jobs(output)["check_checkpoint"] == 1
    assert str(tmp_path / "mine.pth") in output


def test_another_ffmpeg_extracts_anew(tmp_path):
    own = tmp_path / "ffmpeg"
    own.write_text("#!/bin/sh\necho ffmpeg version 6.1/own\n")
    own.chmod(0o755)
    output, status = plan(*elsewhere(tmp_path, ffmpeg=str(own)))
    assert status == 0, output
    assert f"{tmp_path}/data/ava/frames_900-1801_ffmpeg-6.1_own_30fps_q1_native/-5KQ66BBWC4.tar" in output


def test_what_a_user_has_is_used_where_it_lies(tmp_path):
    have = {
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
    have = {key: str(tmp_path / path) for key, path in have.items()}
    output, status = plan(*elsewhere(tmp_path, methods=["selavi", "supervised"], have=have))
    assert status == 0, output
    assert not [rule for rule in jobs(output) if rule.startswith(("download", "unpack", "cut", "extract"))]
    assert jobs(output)["check_checkpoint"] == 2


@pytest.mark.parametrize(
    ("have", "first"),
    [("ava_films", {"cut_film", "extract_frames"}), ("ava_cuts", {"extract_frames"})],
)
def test_nothing_runs_before_what_a_user_has(tmp_path, have, first):
    for file in ("own/a.mkv", "own/-b.mp4", "loose/x/x-000001.jpg"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    ava, loose = {"films": ["a.mkv", "-b.mp4"]}, str(tmp_path / "loose")
    settings = {"methods": ["scratch"], "ava": ava, "have": {have: str(tmp_path / "own"), "charades_frames": loose}}
    output, status = plan(*elsewhere(tmp_path, **settings))
    assert status == 0, output
    count = jobs(output)
    assert {rule for rule in ("download_film", "cut_film", "extract_frames") if rule in count} == first
    assert all(count[rule] == 2 for rule in first)
    assert count["download"] == 3  # AVA's annotations, Charades' two lists: not its tar
    assert "index_charades" not in count


def test_a_file_of_another_source_need_not_lie_in_the_users_folder(tmp_path):
    (tmp_path / "selavi_kinetics.pth").touch()
    have = {"checkpoints": str(tmp_path)}
    methods = ["selavi", "supervised"]
    output, status = plan(*elsewhere(tmp_path, datasets=["charades"], methods=methods, have=have))
    assert status == 0, output
    assert f"{tmp_path}/data/downloads/r2plus1d_18-91a641e6.pth" in output
    assert "unpack_checkpoint" not in output
    assert jobs(output)["check_checkpoint"] == 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ava": {"training": {"epohcs": 3}}}, "config: ava: training: unknown key epohcs; known: batch, shares, "),
        ({"methods": ["moco", "mocco"]}, "config: methods: mocco: no such row in config/methods.tsv; known: scratch, "),
        ({"methods_table": "config/nowhere.tsv"}, "config/nowhere.tsv: no such file"),
        ({"ava": {"leave_out": ["nobody.mkv"]}}, "config: ava: leave_out: nobody.mkv: not among the films"),
        ({"have": {"checkpoints": "config"}}, "have: checkpoints: config holds 0 files named selavi_kinetics.pth"),
        ({"ffmpeg": "/nowhere/ffmpeg"}, "config: ffmpeg: /nowhere/ffmpeg: not a program"),
    ],
)
def test_wrong_configuration(tmp_path, settings, words):
    """One of each kind; the others are in tests/scripts/test_checks.py."""
    output, status = plan(*elsewhere(tmp_path, **settings))
    assert status == 1
    assert words in output
    assert len(output.splitlines()) < 40  # not the whole config


def test_conda_environments_have_the_locked_versions():
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    locked = {(package["name"], package.get("version")) for package in packages}
    for path in (ROOT / "envs").glob("*.yaml"):
        *_, pip = yaml.safe_load(path.read_text())["dependencies"]
        for pinned in pip["pip"]:
            assert tuple(pinned.split("==")) in locked, f"{path}: {pinned}"
