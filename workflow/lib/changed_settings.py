"""The settings of an experiment that differ from the published ones."""

from trainer.datasets import DATASETS


def changed_settings(config, published, methods) -> list[tuple[str, str, str]]:
    """Return (setting, published value, value here) of each published setting that has another value in ``config``.

    Both are nested mappings in the shape of config.yaml and recipes.yaml. ``methods``: {method: its row of the methods
    table}, for the selected methods; they are compared with the settings under ``published["method"]``. Settings of
    datasets and recipes that are not selected are not compared, nor are methods whose recipe is not a published one.
    """
    of_method = published["method"]
    used = _without(published, {"method", *DATASETS} - set(config["datasets"]))
    recipes = {row["recipe"] for row in methods.values()}
    used["recipes"] = {name: recipe for name, recipe in used["recipes"].items() if name in recipes}
    found = compare(config, used)
    for name, row in methods.items():
        if row["recipe"] not in published["recipes"]:
            continue
        found += compare(row, of_method, f"{name}: ")
    return found


def compare(ours, published, where="") -> list[tuple[str, str, str]]:
    """Return (setting, published value, value here) of each value of nested mappings that differs.

    ``where`` begins a setting's name. A mapping that ``ours`` lacks is not compared.
    """
    found = []
    for key, value in published.items():
        if isinstance(value, dict):
            if key in ours:
                found += compare(ours[key], value, f"{where}{key}: ")
        elif ours[key] != value:
            found.append((f"{where}{key}", _text(value), _text(ours[key])))
    return found


def _without(settings, names):
    """Return nested mappings without these keys, at any depth."""
    return {
        key: _without(value, names) if isinstance(value, dict) else value
        for key, value in settings.items()
        if key not in names
    }


def _text(value):
    """Return a value for a reader; a long list is only counted."""
    if value in (None, [], ()):
        return "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) if len(value) <= 5 else f"a list of {len(value)}"
    return str(value)
