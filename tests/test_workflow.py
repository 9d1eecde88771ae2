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


def test_one_table_is_just_that(tmp_path):
    output, status = plan(f"{tmp_path}/results/ava_table.csv", *elsewhere(tmp_path))
    assert status == 0, output
    count = jobs(output)
    assert count["finetune"] == 11
    assert not {"index_charades", "list_charades", "report_html"} & count.keys()


def test_own_method_is_one_row_more(tmp_path):
    rows = (ROOT / "config/methods.tsv").read_text()
    columns = rows.splitlines()[0].split("\t")
    own = dict.fromkeys(columns, "") | {
        "method": "mine",
        "label": "My method",
        "pretraining": "self-supervised",
        "checkpoint": str(tmp_path / "mine.pth"),
        "layout": "auto",
        "backbone": "r2plus1d_18",
        "bn_eps": "1e-5",
        "channels": "rgb",
        "mean": "0.45",
        "std": "0.225",
    }
    (tmp_path / "mine.pth").write_bytes(b"")
    table = tmp_path / "methods.tsv"
    table.write_text(rows + "\t".join(own[column] for column in columns) + "\n")
    output, status = plan(*elsewhere(tmp_path, methods=["scratch", "mine"], methods_table=str(table)))
    assert status == 0, output
    assert jobs(output)["finetune"] == 4
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
    output, status = plan(*elsewhere(tmp_path, methods=["selavi"], have=have))
    assert status == 0, output
    assert not [rule for rule in jobs(output) if rule.startswith(("download", "unpack", "cut", "extract"))]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"epochs": 3}, ["epochs", "unexpected"]),
        ({"ava": {"training": {"epohcs": 3}}}, ["epohcs", "unexpected"]),
        ({"ava": {"start": "early"}}, ["start", "'early' is not of type 'integer'"]),
        ({"charades": {"clip": {"crop": 100}}}, ["100 is not a multiple of 16"]),
        ({"datasets": ["ava", "kinetics"]}, ["'kinetics' is not one of"]),
        ({"methods": ["moco", "mocco"]}, ["mocco: no such row in config/methods.tsv", "known: scratch, selavi"]),
        ({"methods_table": "config/nowhere.tsv"}, ["config/nowhere.tsv: no such file"]),
        ({"ava": {"leave_out": ["nobody.mkv"]}}, ["leave_out: nobody.mkv: not among the films"]),
        ({"have": {"checkpoints": "/nowhere"}}, ["/nowhere holds 0 files named selavi_kinetics.pth"]),
        ({"temp": ["frames"]}, ["'frames' is not one of ['films', 'cuts']"]),
        ({"data": "data", "shared": "data/common"}, ["must lie apart, neither within the other"]),
        ({"ffmpeg": "/nowhere/ffmpeg"}, ["config: ffmpeg: /nowhere/ffmpeg: not a program"]),
    ],
)
def test_wrong_configuration(tmp_path, settings, words):
    output, status = plan(*elsewhere(tmp_path, **settings))
    assert status == 1
    for word in words:
        assert word in output


def test_conda_environments_have_the_locked_versions():
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    locked = {(package["name"], package.get("version")) for package in packages}
    for path in (ROOT / "envs").glob("*.yaml"):
        *_, pip = yaml.safe_load(path.read_text())["dependencies"]
        for pinned in pip["pip"]:
            assert tuple(pinned.split("==")) in locked, f"{path}: {pinned}"
