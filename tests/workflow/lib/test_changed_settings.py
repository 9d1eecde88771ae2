"""Differences from the published settings: which are found, and how they are written."""

from copy import deepcopy
from pathlib import Path

import yaml

from workflow.lib.changed_settings import changed_settings, compare
from workflow.lib.settings import MethodRow
from workflow.lib.validation import read_table

CONFIG = Path(__file__).parents[3] / "config"
PUBLISHED = {
    "ava": {"films": "films.txt", "seeds": [0]},
    "charades": {"seeds": [1, 2, 3]},
    "recipes": {"cnn": {"ava": {"training": {"epochs": 20}}, "charades": {"training": {"epochs": 57}}}},
    "method": {"bn_eps": 1e-5},
}
METHODS = {"moco": {"recipe": "cnn", "bn_eps": 1e-5}, "ctp": {"recipe": "cnn", "bn_eps": 0.00001}}


def config(**changes):
    settings = deepcopy({key: value for key, value in PUBLISHED.items() if key != "method"})
    return settings | {"datasets": ["ava", "charades"], "results": "elsewhere"} | changes


def test_equal_settings_do_not_differ():
    assert changed_settings(config(), PUBLISHED, METHODS) == []


def test_changes_name_setting_and_method():
    recipes = {"cnn": {"ava": {"training": {"epochs": 1}}, "charades": {"training": {"epochs": 57}}}}
    changed = config(ava={"films": ["a.mkv"] * 10, "seeds": []}, recipes=recipes)
    rows = METHODS | {"ctp": {"recipe": "cnn", "bn_eps": 1e-3}}
    assert changed_settings(changed, PUBLISHED, rows) == [
        ("ava: films", "films.txt", "a list of 10"),
        ("ava: seeds", "0", "none"),
        ("recipes: cnn: ava: training: epochs", "20", "1"),
        ("ctp: bn_eps", "1e-05", "0.001"),
    ]


def test_a_number_for_each_channel_differs_from_one():
    published, rows = PUBLISHED | {"method": {"mean": 0.45}}, {"mine": {"recipe": "cnn", "mean": (0.1, 0.2, 0.3)}}
    assert changed_settings(config(), published, rows) == [("mine: mean", "0.45", "0.1, 0.2, 0.3")]


def test_settings_that_no_run_has_are_not_compared():
    recipes = {"cnn": {"ava": {"training": {"epochs": 20}}, "charades": {"training": {"epochs": 2}}}}
    assert changed_settings(config(recipes=recipes, datasets=["ava"], charades={}), PUBLISHED, METHODS) == []
    other = {"mine": {"recipe": "vit", "bn_eps": 1e-3}}
    assert changed_settings(config(recipes={"cnn": {}}), PUBLISHED, other) == []


def test_compare_names_nested_settings():
    assert compare({"a": {"b": 1, "c": 2}}, {"a": {"b": 3, "c": 2}, "d": {"e": 1}}) == [("a: b", "3", "1")]


def test_the_published_experiment_differs_only_as_documented():
    """config.yaml and recipes.yaml are the published experiment; they state the reasons for other values."""
    ours = yaml.safe_load((CONFIG / "config.yaml").read_text()) | yaml.safe_load((CONFIG / "recipes.yaml").read_text())
    published = yaml.safe_load((CONFIG / "published.yaml").read_text())
    rows = read_table(CONFIG / "methods.tsv", MethodRow)
    selected = rows[rows.method.isin(published["methods"])].set_index("method").to_dict("index")
    assert len(selected) == len(published["methods"])
    assert changed_settings(ours, published, selected) == [("charades: seeds", "1, 2, 3", "1")]
