"""Differences from the published settings: which are found, and how they are written."""

from tests.helpers.config import published, read_yaml
from tests.helpers.paths import ROOT
from workflow.lib.changed_settings import changed_settings, compare
from workflow.lib.config_files import find_files
from workflow.lib.settings import MethodRow
from workflow.lib.validation import read_table

PUBLISHED = read_yaml("published.yaml")
ROWS = read_table(ROOT / "config/methods.tsv", MethodRow).set_index("method").to_dict("index")
METHODS = {"moco": ROWS["moco"], "ctp": ROWS["ctp"]}


def changes(methods=METHODS, **changes):
    """Return the changed settings of config.yaml with ``changes``, and the published seeds."""
    return changed_settings(published(**{"charades": {"seeds": [1, 2, 3]}} | changes), PUBLISHED, methods)


def test_the_published_experiment_differs_only_as_documented():
    """config.yaml and recipes.yaml are the published experiment; they state the reasons for other values."""
    methods = {method: ROWS[method] for method in PUBLISHED["methods"]}
    assert changed_settings(published(), PUBLISHED, methods) == [("charades: seeds", "1, 2, 3", "1")]


def test_files_of_the_checkout_are_the_same_from_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings, recipe = find_files(published()), find_files(PUBLISHED)
    assert settings["ava"]["films"] == str(ROOT / "config/ava_videos.txt")
    assert [name for name, _, _ in changed_settings(settings, recipe, METHODS)] == ["charades: seeds"]


def test_changes_name_setting_and_method():
    methods = METHODS | {"ctp": ROWS["ctp"] | {"bn_eps": 1e-3}}
    recipe = {"ava": {"training": {"warmup_epochs": 1}}}
    found = changes(methods, ava={"films": ["a.mkv"] * 10, "seeds": []}, recipes={"r2plus1d": recipe})
    assert found == [
        ("ava: films", "config/ava_videos.txt", "a list of 10"),
        ("ava: seeds", "0", "none"),
        ("recipes: r2plus1d: ava: training: warmup_epochs", "5", "1"),
        ("ctp: bn_eps", "1e-05", "0.001"),
    ]


def test_a_number_for_each_channel_differs_from_one():
    assert changes({"mine": ROWS["moco"] | {"mean": (0.1, 0.2, 0.3)}}) == [("mine: mean", "0.45", "0.1, 0.2, 0.3")]


def test_optional_settings_differ_from_their_defaults():
    recipe = {"ava": {"protocol": "alphaction", "boxes": {"extension": [0.1, 0.05]}}}
    assert changes(recipes={"r2plus1d": recipe}) == [
        ("recipes: r2plus1d: ava: boxes: extension", "none", "0.1, 0.05"),
        ("recipes: r2plus1d: ava: protocol", "published", "alphaction"),
    ]


def test_a_published_setting_that_is_left_out_has_its_default():
    mine = published()["recipes"]["r2plus1d"]
    del mine["charades"]["training"]["lr_milestones"], mine["charades"]["training"]["lr_factors"]
    found = changes({"mine": ROWS["moco"] | {"recipe": "mine"}}, recipes={"mine": mine})
    assert found == [
        ("recipes: mine: charades: training: lr_milestones", "0, 41, 49", "0"),
        ("recipes: mine: charades: training: lr_factors", "1, 0.1, 0.01", "1"),
    ]


def test_a_dataset_that_is_not_published_is_named():
    recipe = {"ava": PUBLISHED["recipes"]["r2plus1d"]["ava"]}
    found = changed_settings(published(), PUBLISHED | {"recipes": {"r2plus1d": recipe}}, METHODS)
    assert ("recipes: r2plus1d: charades", "not published", "another dataset") in found


def test_a_recipe_of_another_name_is_compared_with_the_published_one():
    mine = published()["recipes"]["r2plus1d"]
    mine["ava"]["training"]["base_lr"] = 0.001
    methods = METHODS | {"moco": ROWS["moco"] | {"recipe": "mine"}}
    assert changes(methods, recipes={"mine": mine}) == [("recipes: mine: ava: training: base_lr", "0.1", "0.001")]


def test_a_recipe_without_a_published_one_is_named_with_its_methods():
    vit = {"recipe": "vit", "backbone": "vit_b_16", "mean": 0.5}
    found = changes(METHODS | {"mine": vit, "other": vit})
    assert found == [("recipes: vit", "not published", "of mine, other")]


def test_settings_that_no_run_has_are_not_compared():
    charades = {"training": {"epochs": 2}}
    assert changes(datasets=["ava"], charades={"seeds": [9]}, recipes={"r2plus1d": {"charades": charades}}) == []
    frozen = {"r2plus1d_frozen": {"ava": {"dropout": 0.1}}}
    assert changes(recipes=frozen) == []


def test_compare_names_nested_settings():
    assert compare({"a": {"b": 1, "c": 2}}, {"a": {"b": 3, "c": 2}}) == [("a: b", "3", "1")]
