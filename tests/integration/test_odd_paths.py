"""A workflow in a folder, with results, data and a checkpoint, whose names a shell or Snakemake could misread."""

import shlex
import shutil

import pandas as pd
import pytest

from tests.helpers.checkout import checkout, finish, snakemake
from tests.helpers.methods import own_row, write_methods
from tests.helpers.paths import MIRROR, ROOT
from tests.helpers.plan import elsewhere, plan

ODD = 'it\'s "odd" $(touch x) `touch x`;&| é %s'
RESULTS, DATA = f"-r {{}} {ODD}", f"-d {{}} {ODD}"
CHECKPOINT = "-x{}'\"$(touch$IFS'x')é%s.pth"  # without a space, as that would tell a path from an option
ONE_EPOCH = {
    "epochs": 1,
    "lr_milestones": [0],
    "lr_factors": [1],
    "warmup_epochs": 0,
    "precise_bn_batches": 0,
    "evaluate_every": 1,
}
CLIP = {"num_frames": 8, "crop": 16, "short_side_range": [18, 24], "test_clips": 1, "test_crops": 1}


@pytest.mark.long
@pytest.mark.skipif(not (MIRROR / "Charades_v1_rgb.tar").exists(), reason="no mirror; run `make demo` first")
def test_odd_names_of_folders_and_files_work(tmp_path):
    folder = checkout(
        tmp_path / ODD,
        results=RESULTS,
        data=DATA,
        methods=["mine"],
        local_methods_table="mine.tsv",
        ava={"films": ["-ParkBench7.mkv", "-NightShop4.mkv"]},
        recipes={"r2plus1d": {"charades": {"clip": CLIP, "training": ONE_EPOCH}}},
    )
    write_methods(folder / "mine.tsv", own_row("mine", CHECKPOINT))
    (folder / CHECKPOINT).symlink_to(MIRROR / "r2plus1d_18-91a641e6.pth")
    targets = ["charades_table.csv", "figures/charades_classes.svg", "lists/ava_train.csv"]
    finish(folder, snakemake(folder, "--cores", "2", "--", *(f"{RESULTS}/{target}" for target in targets)))
    assert pd.read_csv(folder / RESULTS / "charades_table.csv").videos_tested.tolist() == [24]
    assert pd.read_csv(folder / RESULTS / "lists/ava_train.csv").video.unique() == ["-ParkBench7"]
    assert f"{CHECKPOINT}: " in (folder / RESULTS / "checkpoints/mine.txt").read_text()
    assert not [path for path in tmp_path.rglob("x") if path.is_file()]


def test_commands_quote_paths_and_take_none_for_an_option(tmp_path):
    (tmp_path / "-x.pth").touch()
    write_methods(tmp_path / "mine.tsv", own_row("mine", "-x.pth"))
    settings = {"methods": ["mine"], "local_methods_table": "mine.tsv", "results": "-r $(touch x)", "data": "-d"}
    for part in ("config", "trainer", "workflow"):
        (tmp_path / part).symlink_to(ROOT / part)
    output, status = plan("--printshellcmds", *elsewhere(tmp_path, **settings), folder=tmp_path)
    assert status == 0, output
    commands = [shlex.split(line.partition(": ")[2]) for line in output.splitlines() if "python -m " in line]
    modules = {command[command.index("-m") + 1] for command in commands}
    assert modules == {"trainer.train", "trainer.evaluate", "trainer.models.inspect"}
    for command in commands:
        words, log = command[: command.index(">")], command[command.index(">") + 1]
        assert log.startswith("-r $(touch x)/")
        assert "trainer.models.inspect" in words or any(word.startswith("--config=-r $(touch x)/") for word in words)
        assert words[-1] == "3>&2"  # Snakemake's stderr, for what the log cannot take
        paths = [place for place, word in enumerate(words) if word.startswith("-r ") or word == "-x.pth"]
        assert all("--" in words[:place] for place in paths), words


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"results": "a{b}"}, "config: results: expected a path without control characters, {...} and <...>, "),
        ({"data": "a<results>"}, "config: data: expected a path without control characters, {...} and <...>, "),
        ({"ava": {"films": ["a{b}.mkv"]}}, "config: ava: films: 0: expected the name of a film without spaces, / "),
    ],
)
def test_odd_names_that_snakemake_would_change_are_refused_at_the_plan(tmp_path, settings, message):
    output, status = plan(*elsewhere(tmp_path, **settings))
    assert status == 1 and message in output


@pytest.mark.parametrize("name", ["a {}", "{x}"])
def test_a_checkout_with_braces_is_refused_at_the_plan(tmp_path, name):
    folder = tmp_path / name
    for part in ("config", "trainer", "workflow"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "local*"))
    output, status = plan("results/charades_table.csv", folder=folder)
    assert status == 1
    assert f"{folder}: expected a path without braces, which Snakemake fills in; move this checkout" in output
