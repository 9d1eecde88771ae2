"""A folder with one run to train, and a stand-in for the trainer that tells what its job got."""

import yaml

RUN = "out/runs/ava/scratch/seed0"
TRAINER = """
import json, os, sys
from pathlib import Path
run = Path(sys.argv[1].removeprefix("--config=")).parent
for name in ("model.pth", "history.csv", "summary.json", "environment.json"):
    (run / name).write_text(json.dumps({"arguments": sys.argv[2:], **os.environ}))
"""


def write_run(folder, trainer=TRAINER):
    """Write settings, prepared lists and the stand-in, which jobs find first; return ``folder``."""
    settings = {
        "datasets": ["ava"],
        "methods": ["scratch"],
        "local_config": None,
        "local_methods_table": None,
        "results": "out",
        "ava": {"films": ["a.mkv"], "gpus": 2},
        "machine": {"workers": 3, "threads": 2},
    }
    (folder / "settings.yaml").write_text(yaml.safe_dump(settings))
    for file in ("frames", "train", "val"):
        (folder / "out/lists").mkdir(parents=True, exist_ok=True)
        (folder / f"out/lists/ava_{file}.csv").touch()
    (folder / "trainer").mkdir()
    (folder / "trainer/__init__.py").touch()
    (folder / "trainer/train.py").write_text(trainer)
    return folder
