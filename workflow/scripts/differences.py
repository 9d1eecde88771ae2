"""Where the settings of an experiment differ from the published ones."""


def differences(config, published, methods) -> list[tuple[str, str, str]]:
    """(setting, published, here) of each setting of ``published`` whose value in ``config`` is another.

    Both are nested mappings in the shape of config.yaml. ``methods``: {method: its row of the methods table}, compared
    with the settings under ``published["method"]``.
    """
    found = []
    for name, ours in methods.items():
        of_method = {key: type(value)(ours[key]) for key, value in published["method"].items()}
        found += compare(of_method, published["method"], f"{name}: ")
    return [*compare(config, {key: value for key, value in published.items() if key != "method"}), *found]


def compare(ours, published, where="") -> list[tuple[str, str, str]]:
    """(setting, published, here) of each value of nested mappings that differs; ``where`` begins a setting's name."""
    found = []
    for key, value in published.items():
        if isinstance(value, dict):
            if key in ours:
                found += compare(ours[key], value, f"{where}{key}: ")
        elif ours[key] != value:
            found.append((f"{where}{key}", _told(value), _told(ours[key])))
    return found


def _told(value):
    """A value for a reader; long lists are only counted."""
    if isinstance(value, list):
        return ", ".join(map(str, value)) if len(value) <= 5 else f"a list of {len(value)}"
    return "none" if value is None or value == [] else str(value)
