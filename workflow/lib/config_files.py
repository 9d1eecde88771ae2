"""Find the files of settings, from the working directory on, and merge them."""

import os
from pathlib import Path

import yaml

from trainer.utils.errors import InputError
from workflow.lib.settings import ROOT


def check_working_directory():
    """Raise InputError if Snakemake was started in workflow/ of this checkout, where it finds the Snakefile as well."""
    if Path.cwd() == ROOT.resolve() / "workflow":
        raise InputError(
            f"{Path.cwd()}: `data` and `results` would be made in this folder of code; start Snakemake in {ROOT}"
        )


def find(path: str, checkout_first=False) -> str:
    """Return a path in the working directory, or that of the same file beside this code if only that exists.

    ``checkout_first``: prefer the file beside this code.
    """
    installed = ROOT / path
    return str(installed) if installed.exists() and (checkout_first or not Path(path).exists()) else path


def find_files(settings: dict) -> dict:
    """Return ``settings`` with each path in config/ as `find` returns it."""
    return _each_text(settings, lambda text: find(text) if text.startswith("config/") else text)


def read_settings(given: dict, importing: dict | None = None) -> dict:
    """Return the content of config.yaml and recipes.yaml, ``importing``, local.yaml and ``given``, in this order.

    Mappings are united, lists replaced. ``given``: settings of the command line. ``importing``: settings of a workflow
    that imports this one; then config.yaml and recipes.yaml are this checkout's, as the working directory has that
    workflow's. Other files of config/ that the working directory lacks, as under ``--directory``, are this checkout's.
    Raises InputError if a file is missing or not a YAML mapping.
    """
    files = (find(f"config/{name}.yaml", importing is not None) for name in ("config", "recipes"))
    settings = merge(merge(*map(read_file, files)), importing or {})
    local = merge(settings, given).get("local_config")
    if local and os.path.lexists(find(local)):
        settings = merge(settings, read_file(find(local)))
    return _as_planned(find_files(merge(settings, given)))


def merge(settings: dict, changes: dict) -> dict:
    """Return ``settings`` with ``changes`` merged in, as Snakemake merges config files."""
    merged = dict(settings)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


class _UniqueKeyLoader(yaml.SafeLoader):
    """Refuse a key that stands twice in a mapping; of two, PyYAML would drop the first with all that is below it."""

    def compose_mapping_node(self, anchor):
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key.value} stands twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return node


def read_file(path) -> dict:
    """Return the content of a file of settings; raise InputError if it is missing or not a YAML mapping.

    A file without settings, as all of them are commented out, is an empty mapping.
    """
    try:
        content = yaml.load(Path(path).read_text(encoding="utf-8"), _UniqueKeyLoader)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; correct the path, or copy this file from the repository") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); expected a file of settings") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected keys and values, got {type(content).__name__}")
    return content


def _as_planned(settings):
    """Write folders without "./" and "/" at their ends: Snakemake compares a target with a rule's path as text."""
    folders = {key: settings[key] for key in ("data", "results", "existing") if settings.get(key)}
    return settings | _each_text(folders, lambda path: str(Path(path)) if path else path)


def _each_text(value, change):
    """Return nested mappings with every text changed."""
    if isinstance(value, dict):
        return {key: _each_text(item, change) for key, item in value.items()}
    return change(value) if isinstance(value, str) else value
