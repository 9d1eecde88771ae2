"""The bootstrap.npz of finished runs: scores of resampled test videos, which all runs of a dataset share."""

from pathlib import Path

from trainer.run_files import explain_damage, read_arrays
from trainer.utils.errors import InputError

# Arrays by M metrics, C classes and R resamples; 2: low and high.
SHAPES = {"point": "M", "interval": "M2", "mAP": "MR"}
SHAPES |= {"class_point": "MC", "class_interval": "MC2", "class_ap": "MCR"}
TEXTS = ("fingerprint", "trained", "seed", "digest", "video", "class_name", "metric")


def read_bootstrap(folder, metrics, settings=None) -> dict | None:
    """Return the arrays of a run's bootstrap.npz; None if there is none of these ``metrics`` and ``settings``.

    ``metrics``: of metrics.json; ``settings``: {"resamples": ..., "seed": ...}, or None for any. Raises DamagedFile.
    """
    path = Path(folder, "bootstrap.npz")
    if not path.exists():
        return None
    with explain_damage(path):
        content = read_arrays(path)
        arrays = {name: content[name] for name in (*TEXTS, *SHAPES)}
        sizes = {"2": 2} | dict(zip("MCR", arrays["class_ap"].shape, strict=True))
        for name, shape in SHAPES.items():
            if arrays[name].shape != tuple(sizes[letter] for letter in shape):
                raise ValueError(f"{name}: unexpected shape {arrays[name].shape}")
    made = {"resamples": sizes["R"], "seed": int(arrays["seed"])}
    of_this_run = all(str(arrays[name]) == metrics[name] for name in ("fingerprint", "trained"))
    return arrays if of_this_run and settings in (None, made) else None


def check_paired(bootstraps: dict[str, dict]):
    """Raise InputError if runs, by folder, were scored on resamples of different test videos."""
    folders = {str(arrays["digest"]): folder for folder, arrays in bootstraps.items()}
    if len(folders) > 1:
        one, other, *_ = folders.values()
        if set(bootstraps[one]["video"]) == set(bootstraps[other]["video"]):
            raise InputError(
                f"{one}/bootstrap.npz: made with other resamples than that of {other}; delete the one that is not of "
                "this experiment's config: bootstrap, or its run if it is not of this experiment"
            )
        raise InputError(f"{one}: its test videos are not those of {other}; delete predictions.npz in both")
