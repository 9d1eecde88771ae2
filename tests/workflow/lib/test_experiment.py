"""An experiment as plain Python: which films, files, runs, tables and figures a config wants."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.config import merged, published, read_yaml
from tests.helpers.methods import ROW, own_row, write_methods
from tests.helpers.paths import ROOT
from trainer import config as run_config
from trainer.utils.errors import InputError
from workflow.lib.experiment import Experiment, local_paths
from workflow.lib.film import ffmpeg_version
from workflow.lib.validation import read_run

METHODS = 11  # of the published experiment


@pytest.fixture(scope="module")
def experiment():
    return Experiment(published())


def experiment_of(**changes):
    return Experiment(published(**changes))


def test_runs_are_read_without_pyav_and_ffmpeg():
    code = "import sys; sys.modules |= dict.fromkeys(['av', 'imageio_ffmpeg']); import workflow.lib.experiment"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


# --- AVA's films and frames ------------------------------------------------------------------------------------------


def test_films(experiment):
    assert len(experiment.films) == 299
    assert experiment.film("-5KQ66BBWC4") == "data/ava/films/-5KQ66BBWC4.mkv"
    with pytest.raises(InputError, match=r"^nobody: not a video of config: ava: films$"):
        experiment.film("nobody")
    few = experiment_of(ava={"films": ["a.mkv", "b.mp4"], "exclude_videos": ["a"]})
    assert few.films == {"b": "b.mp4"}


def test_all_that_changes_a_file_is_part_of_its_path(experiment):
    ffmpeg = f"ffmpeg-{ffmpeg_version()}"
    assert experiment.cut("x") == f"data/ava/cuts_900-1801_{ffmpeg}/x.nut"
    assert experiment.frames_folder == f"data/ava/frames_900-1801_{ffmpeg}_30fps_q1_native"
    changes = [{"start": 890}, {"stop": 1700}, {"fps": 15}, {"jpeg_quality": 2}, {"short_side": 320}]
    folders = [experiment_of(ava=change).frames_folder for change in changes]
    assert len({experiment.frames_folder, *folders}) == 1 + len(changes)
    assert folders[-1].endswith("_short320")


def test_the_users_ffmpeg_is_part_of_the_path(tmp_path):
    own = tmp_path / "ffmpeg"
    own.write_text("#!/bin/sh\necho ffmpeg version 6.1/own\n")
    own.chmod(0o755)
    assert "_ffmpeg-6.1_own_" in experiment_of(ffmpeg=str(own)).frames_folder
    with pytest.raises(InputError, match=r"^config: ffmpeg: /nowhere/ffmpeg: not a program"):
        experiment_of(ffmpeg="/nowhere/ffmpeg").frames_folder  # noqa: B018
    nothing_to_cut = experiment_of(ffmpeg="/nowhere/ffmpeg", datasets=["charades"])
    assert nothing_to_cut.frames_folder  # a rule has a path in every experiment


def test_frames_of_each_dataset(experiment):
    frames = experiment.ava_frames
    assert len(frames["archives"]) == len(frames["indices"]) == 299
    assert f"{experiment.frames_folder}/-5KQ66BBWC4.tar" in frames["archives"]
    tar = "data/downloads/charades/Charades_v1_rgb.tar"
    assert experiment.charades_frames["archive"] == experiment.charades_tar == tar


def test_cuts_keep_the_clock_of_the_film(experiment):
    assert experiment.cut_window == (900, 1801)


# --- Existing files --------------------------------------------------------------------------------------------------


def test_existing_films_and_cuts_are_used_in_place(tmp_path):
    ava, folder = {"films": ["a.mkv", "-b.mp4"]}, str(tmp_path)
    for film in ava["films"]:
        (tmp_path / film).touch()
    films = experiment_of(ava=ava, existing={"ava_films": folder})
    assert films.film("-b") == f"{folder}/-b.mp4"
    assert films.cut("-b").startswith("data/ava/cuts_")
    cuts = experiment_of(ava=ava, existing={"ava_cuts": folder})
    assert cuts.cut("-b") == f"{folder}/-b.mp4"
    assert cuts.cut_window == (0, 901)  # a user's cut has a clock of its own


def test_existing_frames_are_used_in_place():
    own = experiment_of(existing={"ava_frames": "/own/ava", "charades_frames": "/own/charades"})
    assert own.ava_frames == {"folder": "/own/ava", "videos": "results/lists/ava_folder.csv"}
    assert own.charades_frames == {"folder": "/own/charades", "videos": "results/lists/charades_folder.csv"}


def test_existing_annotations_and_tar_are_used_in_place():
    existing = {"ava_annotations": "/own/ava", "charades_lists": "/own/lists", "charades_tar": "/own/rgb.tar"}
    own = experiment_of(existing=existing)
    assert own.annotations["ava"]["ground_truth"] == "/own/ava/ava_val_v2.2.csv"
    assert own.annotations["charades"]["val"] == "/own/lists/val.csv"
    assert own.charades_frames["archive"] == "/own/rgb.tar"
    assert own.charades_frames["index"] == "data/charades/index.npy"


def test_existing_checkpoints_are_found_in_subfolders(tmp_path):
    for name in ("deep/er/selavi_kinetics.pth", "r2plus1d_18-91a641e6.pth"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    own = experiment_of(existing={"checkpoints": str(tmp_path)})
    assert own.checkpoint("selavi") == f"{tmp_path}/deep/er/selavi_kinetics.pth"
    assert own.checkpoint_report("selavi") == "results/checkpoints/selavi.txt"
    assert own.checkpoint("supervised") == f"{tmp_path}/r2plus1d_18-91a641e6.pth"
    with pytest.raises(InputError, match=r"checkpoints: expected one file named checkpoint_0199.pth.tar .* 0$"):
        own.checkpoint("moco")
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy/selavi_kinetics.pth").touch()
    with pytest.raises(InputError, match=r"expected one file named selavi_kinetics.pth in .*, got 2$"):
        experiment_of(existing={"checkpoints": str(tmp_path)}).checkpoint("selavi")


def test_checkpoints_without_an_address_are_the_users(tmp_path):
    words = "methods.tsv: mvd: checkpoint: no address of mvd_vit_b_k400.pth is known; .* existing: checkpoints"
    with pytest.raises(InputError, match=words):
        experiment_of(methods=["mvd"]).check_files()
    with pytest.raises(InputError, match=words):
        experiment_of(methods=["moco"]).checkpoint("mvd")  # not selected, but asked for
    with pytest.raises(InputError, match=r"expected one file named mvd_vit_b_k400.pth in .*, got 0$"):
        experiment_of(existing={"checkpoints": str(tmp_path)}).checkpoint("mvd")
    (tmp_path / "mvd_vit_b_k400.pth").touch()
    own = experiment_of(existing={"checkpoints": str(tmp_path)})
    assert own.checkpoint("mvd") == f"{tmp_path}/mvd_vit_b_k400.pth"


def test_a_checkpoint_of_another_source_is_downloaded_if_missing(tmp_path):
    own = experiment_of(existing={"checkpoints": str(tmp_path)})
    assert own.checkpoint("supervised") == "data/downloads/r2plus1d_18-91a641e6.pth"


# --- Checkpoints and methods -----------------------------------------------------------------------------------------


def test_published_checkpoints(experiment):
    assert experiment.checkpoint("scratch") is None
    assert experiment.checkpoint("moco") == "data/checkpoints/checkpoint_0199.pth.tar"
    assert experiment.checkpoint("supervised") == "data/downloads/r2plus1d_18-91a641e6.pth"
    reports = [experiment.checkpoint_report(method) for method in ("scratch", "moco")]
    assert reports == [None, "results/checkpoints/moco.txt"]
    with pytest.raises(InputError, match=r"^mocco: no such method in config/methods.tsv$"):
        experiment.checkpoint("mocco")


def test_a_checkpoints_report_is_of_its_row(experiment):
    # Snakemake compares them with those of finished reports: another option would run all trainings again.
    assert experiment.inspect_options("tclr") == [
        *("--backbone=r2plus1d_18_tclr", "--recipe=r2plus1d", "--layout=tclr", "--channel-order=rgb", "--mean=0.45"),
        "--std=0.225",
    ]
    assert "--mean=0.4814576,0.4546922,0.4038435" in experiment.inspect_options("mvd")


def local_experiment(tmp_path, *rows, **changes):
    table = write_methods(tmp_path / "local_methods.tsv", *rows)
    return experiment_of(local_methods_table=str(table), **changes)


def test_local_methods_are_further_rows(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    rows = own_row("mine", "/own/mine.pth"), own_row("at_home", "~/b.pth")
    own = local_experiment(tmp_path, *rows, methods=["moco", "at_home", "mine"])
    assert list(own.methods.index) == ["moco", "at_home", "mine"]
    assert own.checkpoint("mine") == "/own/mine.pth"
    assert own.checkpoint("at_home") == f"{tmp_path}/b.pth"
    assert own.checkpoint_report("mine") == "results/checkpoints/mine.txt"
    assert own.run("ava", "mine", 0)["model"]["layout"] == "auto"


def test_local_methods_may_be_missing(tmp_path):
    assert len(experiment_of(local_methods_table=str(tmp_path / "none.tsv")).methods) == METHODS


def test_all_selects_every_row(tmp_path):
    own = local_experiment(tmp_path, own_row("mine", "/own/mine.pth"), methods="all")
    assert [*own.methods.index] == [*experiment_of().all_methods.index, "mine"]


def test_a_local_row_must_have_a_new_id(tmp_path):
    with pytest.raises(InputError, match=f"^{tmp_path}/local_methods.tsv: moco: two rows have this id"):
        local_experiment(tmp_path, own_row("moco", "/own/mine.pth"))


# --- Runs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", ["ava", "charades"])
def test_each_run_is_one_of_the_trainer(experiment, dataset):
    for method in experiment.methods.index:
        run = read_run(experiment.run(dataset, method, 1))
        assert (run.dataset, run.method, run.seed) == (dataset, method, 1)
        assert experiment.fingerprint(dataset, method, "1") == run_config.score_fingerprint(run)


def test_the_published_run_on_ava(experiment):
    run = read_run(experiment.run("ava", "tclr", "0"))
    assert run.model == run_config.Model(
        "r2plus1d_18_tclr", "data/checkpoints/rpd18kin400.pth", "tclr", 1e-5, dropout=0.5
    )
    assert run.clip == run_config.Clip(32, 2, 112, (256, 320), 1, 1)
    assert run.normalization == run_config.Normalization("rgb", 0.45, 0.225)
    assert run.data == run_config.Data(
        frames="results/lists/ava_frames.csv",
        train="results/lists/ava_train.csv",
        test="results/lists/ava_val.csv",
        label_map="data/ava/annotations/ava_action_list_v2.2_for_activitynet_2019.pbtxt",
        ground_truth="data/ava/annotations/ava_val_v2.2.csv",
        excluded="data/ava/annotations/ava_val_excluded_timestamps_v2.2.csv",
    )
    assert (run.training.batch_size, run.training.micro_batches, run.training.epochs) == (32, 4, 20)
    assert (run.machine.device, run.machine.world_size) == ("cuda", 4)


def test_the_published_run_on_charades(experiment):
    run = read_run(experiment.run("charades", "scratch", 1))
    assert (run.model.checkpoint, run.model.layout) == (None, "")
    assert run.clip == run_config.Clip(32, 8, 112, (256, 340), 10, 3)
    assert run.data.label_map == "config/charades_classes.tsv"
    assert (run.data.ground_truth, run.data.excluded) == (None, None)
    assert run.machine.world_size == 1


def test_on_the_cpu_a_run_has_one_process_and_no_gpu():
    own = experiment_of(machine={"device": "cpu"})
    assert own.gpus("ava") == 0
    assert own.run("ava", "moco", 0)["machine"]["world_size"] == 1


def test_run_folders_of_seeds():
    own = experiment_of(charades={"seeds": [1, 2, 3]}, results="elsewhere")
    folders = own.run_folders("charades", "moco")
    assert list(folders) == [f"elsewhere/runs/charades/moco/seed{seed}" for seed in (1, 2, 3)]
    assert [run["seed"] for run in folders.values()] == [1, 2, 3]
    assert len(own.result_files(["ava", "charades"])) == 2 * METHODS * (1 + 3)


def test_two_runs_differ_by_their_settings():
    same = experiment_of(machine={"workers": 1}, ava={"gpus": 1}, results="elsewhere")
    other = experiment_of(recipes={"r2plus1d": {"ava": {"training": {"base_lr": 0.2}}}})
    prints = [one.fingerprint("ava", "moco", 0) for one in (experiment_of(), same, other)]
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize("backbone", ["r3d_18", "mc3_18"])
def test_a_row_may_have_another_backbone(tmp_path, backbone):
    own = local_experiment(tmp_path, own_row("mine", "/own/mine.pth", backbone=backbone), methods=["mine"])
    assert read_run(own.run("charades", "mine", 1)).model.backbone == backbone


def test_a_recipe_must_fit_the_backbone(tmp_path):
    recipes = {"r2plus1d": {"charades": {"clip": {"num_frames": 12}}}}
    with pytest.raises(InputError, match="num_frames: expected a multiple of 8, got 12, with backbone r2plus1d_18"):
        local_experiment(tmp_path, ROW, recipes=recipes)


def test_an_unknown_recipe(tmp_path):
    message = f"^{tmp_path}/local_methods.tsv: mine: recipe: expected one of r2plus1d, vit, .*, got 'resnet'$"
    with pytest.raises(InputError, match=message):
        local_experiment(tmp_path, ROW | {"recipe": "resnet"}, methods=["moco", "mine"])
    others = local_experiment(tmp_path, ROW | {"recipe": "resnet"}, methods=["moco"])
    with pytest.raises(InputError, match=message):
        others.run("ava", "mine", 0)  # not selected, but asked for


def test_a_recipe_must_have_the_datasets_that_run(tmp_path):
    on_ava = experiment_of().config.recipes["r2plus1d"]["ava"]
    config = published(methods=["mine"], local_methods_table=str(tmp_path / "local_methods.tsv"))
    config["recipes"]["half"] = {"ava": config["recipes"]["r2plus1d"]["ava"]}
    write_methods(tmp_path / "local_methods.tsv", ROW | {"recipe": "half"})
    words = r"local_methods.tsv: mine: recipe: half has no settings for charades$"
    with pytest.raises(InputError, match=words):
        Experiment(config)
    with pytest.raises(InputError, match=words):
        Experiment(config | {"methods": ["moco"]}).run("charades", "mine", 0)  # not selected, but asked for
    run = Experiment(config | {"datasets": ["ava"]}).run("ava", "mine", 0)
    assert run["training"]["epochs"] == on_ava.training.epochs


def test_files_of_the_user_are_checked_when_asked(tmp_path):
    own = local_experiment(tmp_path, own_row("mine", tmp_path / "none.pth"), methods=["mine"])
    with pytest.raises(InputError, match=r"none.pth: no such file"):
        own.check_files()
    (tmp_path / "none.pth").touch()
    own.check_files()


@pytest.mark.parametrize("kind", ["ava_films", "ava_cuts"])
def test_films_that_an_existing_folder_lacks_are_named(tmp_path, kind):
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "a.mkv").touch()
    settings = {"existing": {kind: str(folder)}, "ava": {"films": ["a.mkv", "b.mp4"]}}

    def ask():
        own = experiment_of(results=str(tmp_path), data=str(tmp_path), **settings)
        own.check_files()  # targets of other data need no film
        return own.film("a") if kind == "ava_films" else own.cut("a")

    with pytest.raises(InputError, match=f"{kind}: {folder}: lacks 1 of the 2 videos selected: b; add their files, or"):
        ask()
    archive = Path(experiment_of(data=str(tmp_path), **settings).frames_folder, "b.tar")
    archive.parent.mkdir(parents=True)
    archive.touch()
    assert ask() == f"{folder}/a.mkv"
    archive.unlink()
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/ava_frames.csv").touch()
    assert ask() == f"{folder}/a.mkv"


# --- Remote files ----------------------------------------------------------------------------------------------------


def test_sources(experiment):
    assert experiment.film_urls("-5KQ66BBWC4.mkv") == [
        "https://s3.amazonaws.com/ava-dataset/trainval/-5KQ66BBWC4.mkv",
        "https://www.youtube.com/watch?v=-5KQ66BBWC4",
    ]
    assert len(experiment.urls("charades/train.csv")) == 2
    with pytest.raises(InputError, match=r"^config/sources.tsv: no row with source nowhere$"):
        experiment.downloaded("nowhere")


def test_sizes_of_files(tmp_path):
    sources = tmp_path / "sources.tsv"
    lines = (ROOT / "config/sources.tsv").read_text()
    sources.write_text(lines.replace("charades/val.csv\t\t", "charades/val.csv\t1814\t"))
    own = experiment_of(sources_table=str(sources))
    assert own.size("charades/val.csv") == 1814
    assert own.size("charades/train.csv") is None


def test_addresses_on_this_machine_are_inputs():
    assert local_paths(["https://a/b", "/data/b", "data/b"]) == ["/data/b", "data/b"]


# --- Results ---------------------------------------------------------------------------------------------------------


def test_tables_and_figures(experiment):
    of_one = ["ava_table", "ava_comparisons", "charades_table", "charades_comparisons"]
    assert experiment.tables == [*of_one, "side_by_side"]
    assert "ava_mean_ap" in experiment.figures
    assert "charades_ranking" in experiment.figures
    assert "dataset_scatter" in experiment.figures
    one = experiment_of(datasets=["charades"], published_table=None, methods=["moco", "supervised"])
    assert one.tables == ["charades_table", "charades_comparisons"]
    assert list(one.figures) == ["charades_mean_ap", "charades_differences", "charades_classes", "charades_training"]


def test_results_are_those_of_the_selected_methods():
    own = experiment_of(methods=["supervised", "moco"])
    [result] = own.results(["charades"])
    assert list(result["methods"]) == list(result["runs"]) == ["supervised", "moco"]
    row = {"label": "MoCo", "pretraining": "self-supervised", "recipe": "r2plus1d", "backbone": "r2plus1d_18"}
    assert result["methods"]["moco"] == row | {"group": "r2plus1d"}
    assert result["published"] == "config/published.tsv"
    assert Path(next(iter(result["runs"]["moco"]))) == Path("results/runs/charades/moco/seed1")


def test_tables_do_not_depend_on_the_machine():
    machine = {"device": "cpu", "workers": 1, "threads": 9, "stall_minutes": 1.0}
    other = experiment_of(methods=["moco"], machine=machine, ava={"gpus": 1})
    assert other.results(["ava"]) == experiment_of(methods=["moco"]).results(["ava"])


def test_resamples_must_suffice_for_the_pairs_of_a_group(tmp_path):
    rows = [ROW | {"method": f"mine{number}"} for number in range(15)]
    own = {"methods": [row["method"] for row in rows] + ["scratch_vit_b"]}
    local_experiment(tmp_path, *rows, **own, bootstrap={"resamples": 2100})
    message = (
        "^config: bootstrap: resamples: expected at least 2100, got 2099; "
        "with fewer, no corrected p-value of 105 pairs of 15 methods can be below 0.05$"
    )
    with pytest.raises(InputError, match=message):
        local_experiment(tmp_path, *rows, **own, bootstrap={"resamples": 2099})
    experiment_of(methods=["moco"], bootstrap={"resamples": 1})
    experiment_of(**read_yaml("demo.yaml"))


def test_results_keep_the_methods_of_a_group_together():
    own = experiment_of(methods=["supervised", "scratch_vit_b", "scratch"])
    [result] = own.results(["ava"])
    assert list(result["methods"]) == ["supervised", "scratch", "scratch_vit_b"]


def group_of_copied_recipe(tmp_path, dataset, **changes):
    """Return the group of a method whose recipe is a copy of r2plus1d with other settings on a dataset."""
    recipes = published()["recipes"]
    recipes["copied"] = merged(recipes["r2plus1d"], {dataset: changes})
    row = ROW | {"recipe": "copied"}
    own = local_experiment(tmp_path, row, methods=["mine", "scratch_vit_b", "moco"], recipes=recipes)
    assert own.groups[["moco", "scratch_vit_b"]].tolist() == ["r2plus1d", "vit"]
    return own.groups["mine"]


@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"base_lr": 0.2, "precision": "bfloat16"}, "dropout": 0},
        {"clip": {"short_side_range": [200, 300], "hsv_jitter": [20, 0.1, 0.1], "test_short_side": 112}},
        {"boxes": {"train_detections": False, "jitter": [0.2, 0.1, 0.1, 0.05]}},
    ],
)
def test_methods_that_are_trained_differently_compare(tmp_path, changes):
    assert group_of_copied_recipe(tmp_path, "ava", **changes) == "r2plus1d"


@pytest.mark.parametrize(
    ("dataset", "changes"),
    [
        ("charades", {"clip": {"test_clips": 5}}),
        ("charades", {"clip": {"test_crops": 1}}),
        ("charades", {"clip": {"test_short_side": 128}}),
        ("charades", {"clip": {"num_frames": 16}}),
        ("charades", {"clip": {"stride": 4}}),
        ("charades", {"clip": {"crop": 96}}),
        ("charades", {"clip": {"crop": 96, "test_short_side": 112}}),
        ("charades", {"frozen": True, "training": {"precise_bn_batches": 0}}),
        ("ava", {"clip": {"lead": 20}}),
        ("ava", {"boxes": {"min_score": 0.8}}),
        ("ava", {"boxes": {"extension": [0.1, 0.1]}}),
        ("ava", {"boxes": {"convention": "alphaction"}}),
        ("ava", {"boxes": {"weight_by_score": True}}),
        ("ava", {"protocol": "alphaction"}),
    ],
)
def test_methods_that_are_tested_differently_do_not_compare(tmp_path, dataset, changes):
    assert group_of_copied_recipe(tmp_path, dataset, **changes) == "copied"


def test_each_kind_of_backbone_is_a_group_of_its_own(tmp_path):
    demo = experiment_of(**read_yaml("demo.yaml"))
    assert demo.groups.value_counts().to_dict() == {"r2plus1d": METHODS, "vit": 2}
    clip = {"num_frames": 16, "stride": 8, "crop": 112, "short_side_range": [128, 160], "test_short_side": 112}
    alike = {name: {"charades": {"clip": clip}} for name in ("r2plus1d", "vit")}
    own = experiment_of(datasets=["charades"], methods=["scratch", "scratch_vit_b"], recipes=alike)
    assert own.groups.tolist() == ["r2plus1d", "vit"]


def test_kinds_of_backbones_with_one_recipe_are_two_groups(tmp_path):
    clip = {"num_frames": 16, "stride": 8, "crop": 112, "short_side_range": [128, 160]}
    recipes = {name: {"charades": {"clip": clip}} for name in ("r2plus1d", "vit")}
    row = ROW | {"backbone": "vit_b_16", "recipe": "r2plus1d"}
    methods = ["moco", "mine", "supervised", "scratch_vit_b"]
    own = local_experiment(tmp_path, row, datasets=["charades"], methods=methods, recipes=recipes)
    assert own.groups.to_dict() == {
        "moco": "r2plus1d",
        "supervised": "r2plus1d",
        "mine": "vit",
        "scratch_vit_b": "vit",
    }
    alone = local_experiment(tmp_path, row, datasets=["charades"], methods=methods[:2], recipes=recipes)
    assert alone.groups.to_dict() == {"moco": "r2plus1d", "mine": "r2plus1d (vit)"}


def test_a_predicted_run_keeps_its_machine(tmp_path):
    run = "charades", "moco", 0
    folder = tmp_path / "runs/charades/moco/seed0"
    folder.mkdir(parents=True)
    before = experiment_of(results=str(tmp_path)).run_to_write(*run)
    (folder / "config.yaml").write_text(run_config.dump(read_run(before)))
    after = experiment_of(results=str(tmp_path), machine={"workers": 3, "stall_minutes": 5})
    assert after.run_to_write(*run) == after.run(*run)  # the machine is for the prediction to come
    (folder / "predictions.npz").touch()
    assert repr(after.run_to_write(*run)) == repr(before)  # as Snakemake compares it
    (folder / "config.yaml").write_text(run_config.dump(read_run(before | {"seed": 1})))
    assert after.run_to_write(*run) == after.run(*run)
