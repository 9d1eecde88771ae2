"""The workflow's config as Snakemake reads it."""

from copy import deepcopy

import yaml

from tests.helpers.paths import ROOT


def read_yaml(name):
    """Return the content of a file of config/."""
    return yaml.safe_load((ROOT / "config" / name).read_text())


def published(**changes):
    """Return config.yaml and recipes.yaml, without local files, with ``changes`` merged in."""
    config = read_yaml("config.yaml") | read_yaml("recipes.yaml") | {"local_config": None, "local_methods_table": None}
    return merged(config, changes)


def merged(config, changes):
    """Return a copy of nested mappings with changes merged in, as Snakemake merges them."""
    config = deepcopy(config)
    for key, value in changes.items():
        config[key] = merged(config[key], value) if isinstance(value, dict) and key in config else value
    return config
