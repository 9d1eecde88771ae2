"""Tests that need a GPU: skipped without one; what they measured is written into one file."""

import json
from contextlib import suppress

import pytest
import torch

from tests.helpers.paths import ROOT
from trainer.utils.environment import environment

HERE = ROOT / "tests/gpu"
SUMMARY = ROOT / "results/gpu/summary.txt"


def pytest_collection_modifyitems(items):
    """Skip where PyTorch sees no GPU."""
    for item in items:
        if item.path.parent == HERE:
            item.add_marker(pytest.mark.gpu)
            if not torch.cuda.is_available():
                item.add_marker(pytest.mark.skip(reason="no GPU"))


@pytest.fixture(scope="session")
def summary():
    """Return a function that appends text under a heading to results/gpu/summary.txt, which `make gpu` begins anew."""
    SUMMARY.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError), SUMMARY.open("x") as file:
        file.write(json.dumps(environment("cuda"), indent=2) + "\n")

    def add(heading, text):
        with SUMMARY.open("a") as file:
            file.write(f"\n=== {heading}\n{text.strip()}\n")

    return add
