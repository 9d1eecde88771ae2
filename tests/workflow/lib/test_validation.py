"""Checks of config and tables: what is refused, in which words, and what is read."""

from pathlib import Path

import pytest
import yaml

from tests.helpers.config import merged, published, read_yaml
from tests.helpers.methods import ROW, own_row, write_methods
from tests.helpers.paths import ROOT
from trainer import config as run_config
from trainer.utils.errors import InputError
from workflow.lib import validation
from workflow.lib.settings import MethodRow, PublishedRow
from workflow.lib.validation import check_published, read_config, read_films, read_table

# --- Config ----------------------------------------------------------------------------------------------------------


def test_the_published_and_the_demos_config_are_right():
    read_config(published())
    read_config(published(**read_yaml("demo.yaml")))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ("methods: moco", r"methods: expected all or list of text, such as \[a, b\], got 'moco'"),
        ("ava: {short_side: small}", "ava: short_side: expected a whole number, got 'small'"),
        ("epochs: 3", "unknown key epochs; known: datasets, methods, "),
        (
            "recipes: {r2plus1d: {ava: {training: {epohcs: 3}}}}",
            r"RECIPE: training: unknown key epohcs \(did you mean epochs\?\); known: batch_size",
        ),
        (
            "existing: {ava_film: /films}",
            r"existing: unknown key ava_film \(did you mean ava_films\?\); known: ava_films",
        ),
        ("ava: {start: early}", "ava: start: expected a whole number, got 'early'"),
        ("ava: ", "ava: expected a mapping of keys, got None"),
        ("datasets: [ava, kinetics]", "datasets: 1: expected 'ava'.*'charades'.*, got 'kinetics'"),
        ("datasets: []", r"datasets: expected at least 1 item, got \[\]"),
        ("delete_after_use: [frames]", "delete_after_use: 0: expected 'films' or 'cuts', got 'frames'"),
        (
            "recipes: {r2plus1d: {ava: {training: {base_lr: 1e-3}}}}",
            "RECIPE: training: base_lr: '1e-3' is text in YAML; .* as in 1.0e-3",
        ),
        (
            "existing: {ava_films: ~/films}",
            "existing: ava_films: expected a path written out, without ~, got '~/films'",
        ),
        ("ava: {films: ~/films.txt}", "ava: films: expected a path written out, without ~, got '~/films.txt'"),
        ("ava: {films: [a.mkv, 3]}", "ava: films: 1: expected text, got 3"),
        ("ava: {films: 3}", r"ava: films: expected text or list of text, such as \[a, b\], got 3"),
        ("data: ~/data", "data: expected a path written out, without ~, got '~/data'"),
        (
            "recipes: {r2plus1d: {ava: {training: {micro_batches: 5}}}}",
            "RECIPE: training: micro_batches: expected a divisor of batch_size 32, got 5",
        ),
        (
            "recipes: {r2plus1d: {ava: {training: {lr_milestones: [1], lr_factors: [1]}}}}",
            "RECIPE: training: lr_milestones: expected numbers that ascend from 0, got",
        ),
        (
            "recipes: {r2plus1d: {ava: {clip: {test_crops: 3}}}}",
            "RECIPE: clip: expected test_clips 1 and test_crops 1, got 1 and 3",
        ),
        ("ava: {start: 900, stop: 904}", r"ava: stop: expected at least start 900 \+ 5, got 904"),
        (
            "{data: data, shared_cache: data/common}",
            "shared_cache: expected a folder apart from data .*/data, got .*/common",
        ),
        (
            "{data: /group/me, shared_cache: /group}",
            "shared_cache: expected a folder apart from data /group/me, got /group",
        ),
        ("charades: {seeds: [0, 1, 0]}", "charades: seeds: expected each value once, got 0 more than once"),
        ("charades: {seeds: 1}", r"charades: seeds: expected a list, such as \[a, b\], got 1"),
        ("charades: {seeds: [1, two]}", "charades: seeds: 1: expected a whole number, got 'two'"),
        ("machine: {workers: true}", "machine: workers: expected a whole number, got True"),
        ("ava: {min_person_score: 90}", "ava: min_person_score: expected a number less than or equal to 1, got 90"),
    ],
)
def test_wrong_config(changes, message):
    message = message.replace("RECIPE", "recipes: r2plus1d: ava")
    with pytest.raises(InputError, match=f"^config: {message}") as refused:
        read_config(published(**yaml.safe_load(changes)))
    assert "\n" not in str(refused.value)


def test_a_missing_key():
    config = published()
    del config["ava"]["fps"]
    with pytest.raises(InputError, match=r"^config: ava: fps: missing$"):
        read_config(config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ("have: {ava_films: /films}", "have: unknown key; its new name is existing"),
        ("shared: /group", "shared: unknown key; its new name is shared_cache"),
        ("temp: [films]", "temp: unknown key; its new name is delete_after_use"),
        ("dropout: 0.5", "dropout: unknown key; its new name is recipes: <recipe>: <dataset>: dropout"),
        ("ava: {leave_out: [a.mkv]}", "ava: leave_out: unknown key; its new name is ava: exclude_videos"),
        ("ava: {quality: 2}", "ava: quality: unknown key; its new name is ava: jpeg_quality"),
        ("ava: {min_score: 0.8}", "ava: min_score: unknown key; its new name is ava: min_person_score"),
        ("ava: {gpu: 2}", "ava: gpu: unknown key; its new name is ava: gpus"),
        ("charades: {gpu: 2}", "charades: gpu: unknown key; its new name is charades: gpus"),
        ("ava: {clip: {crop: 96}}", "ava: clip: unknown key; its new name is recipes: <recipe>: ava: clip"),
        (
            "charades: {training: {batch: 8}}",
            "charades: training: unknown key; its new name is recipes: <recipe>: charades: training",
        ),
        (
            "machine: {save_minutes: 5}",
            "machine: save_minutes: unknown key; its new name is machine: checkpoint_minutes",
        ),
        (
            "machine: {precision: tf32}",
            "machine: precision: unknown key; its new name is recipes: <recipe>: <dataset>: training: precision",
        ),
    ],
)
def test_a_former_key_is_refused_with_its_new_name(changes, message):
    with pytest.raises(InputError, match=f"^config: {message}$"):
        read_config(published(**yaml.safe_load(changes)))


# --- Films -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_films_of_a_file(tmp_path, encoding):
    path = tmp_path / "films.txt"
    path.write_text("-a_1.mkv\n# more\n\n  b2.mp4  \r\nc.3.webm\n", encoding)
    films = {"-a_1": "-a_1.mkv", "b2": "b2.mp4", "c.3": "c.3.webm"}
    assert read_films(str(path), ()) == read_films(tuple(films.values()), ()) == films
    assert list(read_films(str(path), ("b2", "c.3.webm"))) == ["-a_1"]


@pytest.mark.parametrize(
    ("text", "exclude_videos", "message"),
    [
        (
            "a.mkv\n\nb.avi\n",
            (),
            "FILE, line 3: expected the name of a film that ends in .mkv, .mp4 or .webm, got 'b.avi'",
        ),
        ("a.mkv b.mkv\n", (), "FILE, line 1: expected the name of a film .*, got 'a.mkv b.mkv'"),
        ("films/a.mkv\n", (), "FILE, line 1: expected the name of a film .*, got 'films/a.mkv'"),
        ("#\na.mkv\nb.mkv\na.mp4\n", (), "FILE, line 4: a.mp4: listed already, as a.mkv"),
        ("# nothing\n", (), "config: ava: films: FILE: expected at least one film that is not excluded, got none"),
        ("a.mkv\n", ("a",), "config: ava: films: FILE: expected at least one film that is not excluded, got none"),
        ("a.mkv\n", ("b.mkv",), "config: ava: exclude_videos: b.mkv: not among the films"),
        (None, (), "config: ava: films: FILE: no such file"),
    ],
)
def test_wrong_films(tmp_path, text, exclude_videos, message):
    path = tmp_path / "films.txt"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=f"^{message.replace('FILE', str(path))}"):
        read_films(str(path), exclude_videos)


def test_wrong_films_of_a_list():
    with pytest.raises(InputError, match=r"^config: ava: films: 1: expected the name of a film .*, got 'b'"):
        read_films(("a.mkv", "b"), ())


# --- Tables ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_the_cells_of_a_table_are_read_as_they_are(tmp_path, encoding):
    path = write_methods(tmp_path / "methods.tsv", ROW, ROW | {"method": "other"}, encoding=encoding)
    table = read_table(path, MethodRow)
    numbers = {"bn_eps": 1e-5, "mean": 0.45, "std": 0.225}
    assert table.to_dict("records") == [ROW | numbers, ROW | numbers | {"method": "other"}]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layout": "", "channel_order": "grb"}, "channel_order: expected 'rgb' or 'bgr', got 'grb'"),
        ({"method": "Mine"}, r"method: expected text that matches \^\[a-z0-9_\]\+\$, got 'Mine'"),
        ({"bn_eps": "small"}, "bn_eps: expected a .*number, .*got 'small'"),
        ({"bn_eps": "1..e5"}, "bn_eps: expected a .*number, .*got '1..e5'"),
        ({"bn_eps": "nan"}, "bn_eps: expected a .*number, got 'nan'"),
        ({"std": "0.0"}, "std: expected a number greater than 0, got '0.0'"),
        ({"std": "0.2.5"}, "std: expected a .*number, .*got '0.2.5'"),
        ({"mean": "123.7"}, r"mean: expected numbers of pixels in \[0, 1\], got 123.7; divide mean and std by 255"),
        ({"std": "0.2,57,0.2"}, r"std: 1: expected numbers of pixels in \[0, 1\], got 57; divide"),
        ({"std": "0.225\t"}, "expected 12 tab-separated columns, got 13"),
        ({"label": ""}, "label: expected at least 1 character, got ''"),
    ],
)
def test_a_wrong_row_is_reported_by_its_line(tmp_path, change, message):
    path = write_methods(tmp_path / "methods.tsv", ROW, ROW | change)
    with pytest.raises(InputError, match=f"^{path}, line 4: {message}"):
        read_table(path, MethodRow)


@pytest.mark.parametrize(
    ("columns", "got"),
    [
        ([], "none"),
        (list(ROW)[1:], "label, .*, std"),
        ([*ROW, "std"], "method, .*, std, std"),
        (["methode", *list(ROW)[1:], "note"], r"'methode' \(did you mean method\?\), label, .*, std, 'note'"),
    ],
)
def test_wrong_header(tmp_path, columns, got):
    path = write_methods(tmp_path / "methods.tsv", columns=columns)
    with pytest.raises(InputError, match=f"^{path}, line [12]: expected the columns method, .* two, got {got}$"):
        read_table(path, MethodRow)


def test_a_table_in_another_encoding(tmp_path):
    path = write_methods(tmp_path / "methods.tsv", ROW | {"label": "Méthode"}, encoding="latin-1")
    with pytest.raises(InputError, match=f"^{path}, line 3: not UTF-8 text .* Save it in that encoding, or "):
        read_table(path, MethodRow)


def test_no_table(tmp_path):
    with pytest.raises(InputError, match=r"nowhere.tsv: no such file; the config names it as a table"):
        read_table(tmp_path / "nowhere.tsv", MethodRow)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["moco\tava\t11.7\tpaper", "moco\tava\t12.0\tpaper"], ": moco: two numbers on ava from paper"),
        (["moco\tava\t-\tpaper"], ", line 2: mAP: expected a .*number, .*got '-'"),
        (["moco\tava\t117\tpaper"], ", line 2: mAP: expected a number less than or equal to 100, got '117'"),
        (["moco\tkinetics\t11\tpaper"], ", line 2: dataset: expected 'ava'.*'charades'.*, got 'kinetics'"),
    ],
)
def test_wrong_published_numbers(tmp_path, rows, message):
    def check(path):
        check_published(read_config(published(published_table=path)))

    path = tmp_path / "published.tsv"
    path.write_text("\n".join(["method\tdataset\tmAP\tsource", *rows]) + "\n")
    with pytest.raises(InputError, match=f"^{path}{message}"):
        check(str(path))
    check(None)
    check(str(ROOT / "config/published.tsv"))


def test_published_numbers_say_that_the_recipe_of_transformers_is_unpublished():
    transformers = read_table(ROOT / "config/methods.tsv", MethodRow).query("recipe == 'vit'").method
    rows = read_table(ROOT / "config/published.tsv", PublishedRow)
    sources = rows[rows.method.isin(transformers)].source
    assert len(sources) == 16 and sources.str.endswith(", whose ViT recipe is unpublished").all()


def test_two_sources_may_print_a_number_of_one_method(tmp_path):
    path = tmp_path / "published.tsv"
    path.write_text("method\tdataset\tmAP\tsource\nmoco\tava\t11.7\tpaper\nmoco\tava\t12.0\tother\n")
    check_published(read_config(published(published_table=str(path))))


@pytest.fixture
def check_methods(tmp_path):
    """Return a function that reads a table of rows and selects methods."""

    def check(*rows, selected=("mine",), **changes):
        path = write_methods(tmp_path / "methods.tsv", *rows)
        config = read_config(published(methods_table=str(path), methods=list(selected), **changes))
        return validation.select_methods(config, validation.read_methods(config, validation.read_sources(config)))

    return check


def test_methods_are_selected_by_their_ids_or_recipe(check_methods, tmp_path):
    other = ROW | {"method": "scratch"}
    assert list(check_methods(ROW, other, selected=["scratch", "mine"]).method) == ["scratch", "mine"]
    named_like_a_recipe = ROW | {"method": "vit"}
    for selected, expected in (
        (["r2plus1d", "mine"], ["mine", "scratch", "vit"]),
        (["scratch", "r2plus1d"], ["scratch", "mine", "vit"]),
        (["vit"], ["vit"]),
    ):
        assert list(check_methods(ROW, other, named_like_a_recipe, selected=selected).method) == expected
    table = f"{tmp_path}/methods.tsv"
    with pytest.raises(InputError, match=f"^config: methods: mime: no such row in {table}; known: mine, scratch$"):
        check_methods(ROW, other, selected=["scratch", "mime"])
    with pytest.raises(InputError, match=f"^{table}: mine: two rows have this id"):
        check_methods(ROW, ROW)
    for selected in (["mine", "mine"], []):
        with pytest.raises(InputError, match=r"^config: methods: expected methods, each once, or all, got"):
            check_methods(ROW, selected=selected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layout": "auto"}, "layout, source: expected empty cells without a checkpoint"),
        ({"source": "checkpoints"}, "layout, source: expected empty cells without a checkpoint"),
        ({"pretraining": "supervised"}, "pretraining: expected none without a checkpoint, got supervised"),
        (
            {"checkpoint": "OWN", "layout": "auto", "pretraining": "none"},
            "pretraining: expected self-supervised or supervised with a checkpoint, got none",
        ),
        ({"checkpoint": "OWN"}, "layout: expected auto or one of selavi, moco, .*, got ''"),
        ({"checkpoint": "OWN", "layout": "moko"}, "layout: expected auto or one of selavi, .*, got 'moko'"),
        (
            {"checkpoint": "OWN", "layout": "auto", "source": "web"},
            "source: expected a source of config/sources.tsv, authors for a file in existing: checkpoints, or nothing "
            "for your own file, got 'web'",
        ),
        (
            {"checkpoint": "OWN", "layout": "auto", "source": "checkpoints"},
            "checkpoint: expected a file name of source checkpoints, got a path; for your own file leave source empty",
        ),
        (
            {"checkpoint": "~other/own.pth", "layout": "auto"},
            "checkpoint: expected a file name or .*, got ~other",
        ),
        ({"backbone": "vit"}, "backbone: expected one of .*r2plus1d_18_tclr, .*, got 'vit'"),
    ],
)
def test_a_row_that_contradicts_itself(check_methods, tmp_path, change, message):
    own = {key: value.replace("OWN", "/nowhere/own.pth") for key, value in change.items()}
    if "checkpoint" in own:
        own = {"pretraining": "self-supervised"} | own
    for selected in ("mine", "other"):  # rows that are not selected are checked, too
        with pytest.raises(InputError, match=f"^{tmp_path}/methods.tsv: mine: {message}"):
            check_methods(ROW | own, ROW | {"method": "other"}, selected=[selected])
    check_methods(own_row("mine", "/nowhere/own.pth"))
    check_methods(own_row("mine", "anywhere.pth", layout="moco", source="checkpoints"))


@pytest.mark.parametrize(
    ("backbone", "clip", "message"),
    [
        ("r2plus1d_18", {"num_frames": 12}, "num_frames: expected a multiple of 8, got 12, with backbone r"),
        (
            "r2plus1d_18",
            {"crop": 100},
            "crop: expected a multiple of 16, got 100, with backbone r2plus1d_18",
        ),
        ("r2plus1d_18_tclr", {"num_frames": 12}, None),
        ("mc3_18", {"num_frames": 12}, None),
    ],
)
def test_a_recipe_must_fit_the_backbone(check_methods, backbone, clip, message):
    row, recipes = ROW | {"backbone": backbone}, {"r2plus1d": {"charades": {"clip": clip}}}
    if message is None:
        check_methods(row, recipes=recipes)
        return
    with pytest.raises(InputError, match=f"^config: recipes: r2plus1d: charades: clip: {message}"):
        check_methods(row, recipes=recipes)
    check_methods(row, recipes=recipes, datasets=["ava"])  # only recipes of the datasets that are run


@pytest.mark.parametrize(
    ("backbone", "recipe", "changes", "message"),
    [
        ("vit_b_16", "vit", {}, None),
        ("vit_b_16_umt", "vit_8_frames", {}, None),
        (
            "vit_b_16",
            "vit",
            {"clip": {"crop": 232}},
            "clip: crop: expected a multiple of 16, got 232, with backbone vit",
        ),
        ("vit_b_16", "r2plus1d", {}, "clip: num_frames: expected 16, got 32, .*; its own recipe is vit$"),
        ("vit_b_16_umt", "vit", {}, "clip: num_frames: expected 8, got 16, .*; its own recipe is vit_8_frames$"),
        ("r2plus1d_18", "vit", {}, "drop_path: expected 0, as this backbone has none, .*; its own recipe is r2plus1d$"),
        ("r2plus1d_18", "vit_frozen", {}, "training: layer_decay: expected 1, .* like VideoMAE's, got 0.75"),
    ],
)
def test_recipes_of_transformers_fit_transformers(check_methods, backbone, recipe, changes, message):
    row, recipes = ROW | {"backbone": backbone, "recipe": recipe}, {recipe: {"ava": changes}}
    if message is None:
        check_methods(row, recipes=recipes)
    else:
        with pytest.raises(InputError, match=f"^config: recipes: {recipe}: ava: {message}"):
            check_methods(row, recipes=recipes)
        check_methods(row, ROW | {"method": "scratch"}, recipes=recipes, selected=["scratch"])  # it harms no other row


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            "r2plus1d_frozen: {charades: {training: {precise_bn_batches: 8}}}",
            "precise_bn_batches: expected 0, as the ba",
        ),
        ("vit_frozen: {ava: {drop_path: 0.1}}", "drop_path: expected 0, as the backbone is frozen, got 0.1"),
        (
            "vit: {charades: {boxes: {min_score: 0.8}}}",
            "boxes: expected none, as Charades has no key seconds and boxes",
        ),
        (
            "vit: {charades: {protocol: alphaction}}",
            "protocol: expected none, as Charades has no key seconds and boxes",
        ),
        ("vit: {charades: {clip: {hsv_jitter: [20, 0, 0]}}}", "clip: hsv_jitter: expected none, as Charades has no"),
        (
            "r2plus1d: {charades: {clip: {test_short_side: 96}}}",
            "clip: test_short_side: expected at least crop 112, as",
        ),
    ],
)
def test_settings_of_recipes_that_contradict_each_other(changes, message):
    with pytest.raises(InputError, match=message):
        read_config(published(**yaml.safe_load(f"recipes: {{{changes}}}")))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ("ava: {gpus: 3}", "ava: gpus: expected a divisor of RECIPE: training: micro_batches 4, got 3"),
        (
            "ava: {min_person_score: 0.95}",
            "RECIPE: boxes: min_score: expected at least ava: min_person_score 0.95, got",
        ),
        ("ava: {min_person_score: 0.9}", None),  # vit needs 0.8
        ("{charades: {gpus: 2}, recipes: {r2plus1d: {charades: {training: {micro_batches: 2}}}}}", None),
        ("{datasets: [charades], ava: {gpus: 3, min_person_score: 0.95}}", None),
    ],
)
def test_settings_of_datasets_serve_the_recipes_that_are_used(check_methods, changes, message):
    changes = yaml.safe_load(changes)
    if message is None:
        check_methods(ROW, **changes)
        return
    with pytest.raises(InputError, match="^config: " + message.replace("RECIPE", "recipes: r2plus1d: ava")):
        check_methods(ROW, **changes)


# --- Files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "checkpoint", "message"),
    [
        (
            "existing: {ava_cuts: /nowhere/cuts}",
            "",
            "config: existing: ava_cuts: /nowhere/cuts: no such file or folder; if its frames are extracted, an empty ",
        ),
        ("existing: {checkpoints: /nowhere}", "", "config: existing: checkpoints: /nowhere: no such file or folder$"),
        (
            "existing: {ava_films: ./data/ava/films/}",
            "",
            "config: existing: ava_films: ./data/ava/films/: the workflow makes and deletes files there; move yours",
        ),
        (
            "{data: /files, existing: {charades_tar: /files/downloads/charades/Charades_v1_rgb.tar}}",
            "",
            "config: existing: charades_tar: /files/downloads/charades/Charades_v1_rgb.tar: the workflow makes and ",
        ),
        ("shared_cache: /nowhere/group", "", "config: shared_cache: /nowhere/group: no such folder; make it"),
        ("{}", "FOLDER", "FOLDER/methods.tsv: mine: checkpoint: FOLDER: is a folder; name the file in it"),
        ("{}", "FOLDER/no.pth", "FOLDER/methods.tsv: mine: checkpoint: FOLDER/no.pth: no such file; correct the path"),
        ("{}", "~/no.pth", "FOLDER/methods.tsv: mine: checkpoint: FOLDER/no.pth: no such file; correct the path"),
    ],
)
def test_missing_and_misplaced_files(tmp_path, monkeypatch, changes, checkpoint, message):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "own.pth").touch()

    def check(changes, checkpoint):
        row = own_row("mine", checkpoint.replace("FOLDER", str(tmp_path))) if checkpoint else ROW
        table = {"methods": ["mine"], "methods_table": str(write_methods(tmp_path / "methods.tsv", row))}
        config = read_config(published(**table | yaml.safe_load(changes)))
        validation.check_existing(config, validation.read_methods(config, validation.read_sources(config)))

    with pytest.raises(InputError, match=f"^{message.replace('FOLDER', str(tmp_path))}"):
        check(changes, checkpoint)
    check("{datasets: [charades], existing: {ava_cuts: /no/cuts}}", "~/own.pth")
    check(f"{{data: {tmp_path.parent}, existing: {{ava_films: {tmp_path}}}}}", "~/own.pth")


RUN = yaml.safe_load((ROOT / "tests/fixtures/made_up_run.yaml").read_text())


@pytest.mark.parametrize(
    ("trained", "message"),
    [
        ({"training": {"epochs": 7}}, "its training has training: epochs 7, config says 1; give the --configfile of"),
        ({"model": {"dropout": 0.25}}, "its training has model: dropout 0.25, config says 0.5"),
        ({"model": {"droput": 0.25}}, r"its training is of another version \(.*config.yaml: model: unknown key droput"),
        ({"machine": {"workers": 7}}, None),
        ({"data": {"train": "/moved/list.csv"}}, None),
        ({"clip": {"test_clips": 5}}, None),  # the same weights, written again from resume.pth
    ],
)
def test_a_run_that_was_trained_on_gpus_is_kept(tmp_path, trained, message):
    content = merged(RUN, trained)
    content["machine"]["device"] = "cuda"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))
    validation.check_trained({str(tmp_path): RUN})  # nothing is trained yet
    (tmp_path / "resume.pth").touch()
    if message:
        with pytest.raises(InputError, match=f"^{tmp_path}: {message}"):
            validation.check_trained({str(tmp_path): RUN})
    else:
        validation.check_trained({str(tmp_path): RUN})
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content | {"machine": RUN["machine"]}))
    validation.check_trained({str(tmp_path): RUN})  # minutes on a CPU


def test_a_deleted_resume_checkpoint_is_linked_again_before_snakemake_deletes_the_weights(tmp_path, monkeypatch):
    """The training job, which would train again without it, starts if e.g. lists or test views have changed."""

    def refuse(*_):
        raise OSError("no hard links")

    def plan():
        validation.link_resume_checkpoints([str(tmp_path)])
        validation.check_trained({str(tmp_path): RUN})

    content = merged(RUN, {"data": {"train": "/moved/list.csv"}, "machine": {"device": "cuda"}})
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))
    (tmp_path / "model.pth").write_bytes(b"weights")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "hardlink_to", refuse)
        with pytest.raises(InputError, match=f"^{tmp_path}: its training has data: train /moved/list.csv, config says"):
            plan()
    plan()
    (tmp_path / "model.pth").unlink()
    assert (tmp_path / "resume.pth").read_bytes() == b"weights"


def test_a_run_of_the_config_is_checked():
    assert validation.read_run(RUN) == run_config.load(ROOT / "tests/fixtures/made_up_run.yaml")
    with pytest.raises(InputError, match=r"^charades, moco: clip: num_frames: expected a whole number, got 'many'$"):
        validation.read_run(merged(RUN, {"clip": {"num_frames": "many"}}))
