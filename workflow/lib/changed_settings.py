"""The settings of an experiment that differ from the published ones."""

from dataclasses import asdict

from trainer.config import Recipe
from trainer.datasets import DATASETS
from trainer.models.backbones import BACKBONES
from trainer.utils.settings import read


def changed_settings(config, published, methods) -> list[tuple[str, str, str]]:
    """Return (setting, published value, value here) of each published setting that has another value in ``config``.

    Both are nested mappings in the shape of config.yaml and recipes.yaml. ``methods``: {method: its row of the methods
    table}, for the selected methods; they are compared with the settings under ``published["method"]``. A recipe of any
    name is compared with the published one of its kind of backbones. Where there is none, or none for a dataset, that
    is the difference. Settings of datasets and recipes that are not selected are not compared.
    """
    unused = {"recipes", "method", *DATASETS} - set(config["datasets"])
    found = compare(config, {key: value for key, value in published.items() if key not in unused})
    kinds = {name: (row["recipe"], BACKBONES[row["backbone"]].recipe) for name, row in methods.items()}
    for recipe, published_recipe in dict.fromkeys(kinds.values()):
        where = f"recipes: {recipe}"
        if published_recipe not in published["recipes"]:
            users = [name for name, kind in kinds.items() if kind == (recipe, published_recipe)]
            found.append((where, "not published", f"of {', '.join(users)}"))
            continue
        for dataset in config["datasets"]:
            if dataset not in published["recipes"][published_recipe]:
                found.append((f"{where}: {dataset}", "not published", "another dataset"))
                continue
            pair = config["recipes"][recipe][dataset], published["recipes"][published_recipe][dataset]
            ours, theirs = (asdict(read(Recipe, content, f"{where}: {dataset}")) for content in pair)  # with defaults
            found += compare(ours, theirs, f"{where}: {dataset}: ")
    for name, row in methods.items():
        if kinds[name][1] in published["recipes"]:
            found += compare(row, published["method"], f"{name}: ")
    return found


def compare(ours, published, where="") -> list[tuple[str, str, str]]:
    """Return (setting, published value, value here) of each value of nested mappings that differs.

    ``where`` begins a setting's name. ``ours`` has all keys of ``published``.
    """
    found = []
    for key, value in published.items():
        if isinstance(value, dict):
            found += compare(ours[key], value, f"{where}{key}: ")
        elif ours[key] != value:
            found.append((f"{where}{key}", _text(value), _text(ours[key])))
    return found


def _text(value):
    """Return a value for a reader; a long list is only counted."""
    if value in (None, [], ()):
        return "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value)) if len(value) <= 5 else f"a list of {len(value)}"
    return f"{value:.12g}" if isinstance(value, float) else str(value)
