"""Settings of the workflow: the files written from them are up to date, and config and classes have the same keys."""

import re
from dataclasses import fields

import pytest

from tests.helpers.config import published, read_yaml
from trainer.utils.settings import documented_keys
from workflow.lib.settings import (
    README,
    RENAMED_KEYS,
    SCHEMA,
    Config,
    MethodRow,
    PublishedRow,
    SourceRow,
    documentation,
)


@pytest.mark.parametrize("path", [README, SCHEMA], ids=["README", "schema"])
def test_the_documentation_is_up_to_date(path):
    assert path.read_text() == documentation()[path], f"{path} is not up to date; run make docs"


def test_each_key_and_column_is_in_the_documentation():
    text = README.read_text()
    for kind in (Config, MethodRow, SourceRow, PublishedRow):
        for key, _, _, sentence in documented_keys(kind):
            assert f"| `{key.split('>.')[-1]}` |" in text, key
            assert sentence, f"{kind.__name__}: {key}: has no sentence"


def test_the_published_config_has_every_key():
    """So a user sees each key with its published value; the classes have no defaults of their own."""
    assert set(published()) == {field.name for field in fields(Config)}
    assert "recipes" not in read_yaml("config.yaml")
    assert set(read_yaml("recipes.yaml")) == {"recipes"}


def test_new_names_of_keys_exist():
    keys = {key.replace(".", ": ") for key, *_ in documented_keys(Config)}
    sections = {": ".join(key.split(": ")[:depth]) for key in keys for depth in range(1, 6)}
    for old, new in RENAMED_KEYS.items():
        general = re.sub(r"recipes: <recipe>: [\w<>]+", "recipes: <name>: <name>", new)
        assert general in sections, f"{old} -> {new}"
        assert old not in sections
