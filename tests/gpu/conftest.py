"""Tests that need a GPU: skipped without one; what they measured is written into one file."""

import json

import pytest
import torch

from tests.helpers.paths import ROOT
from trainer.utils.environment import environment

HERE = ROOT / "tests/gpu"
SUMMARY = ROOT / "results/gpu/summary.txt"


def pytest_collection_modifyitems(items):
    """Run one after the other, and skip where PyTorch sees no GPU."""
    for item in items:
        if item.path.parent == HERE:
            item.add_marker(pytest.mark.gpu)
            item.add_marker(pytest.mark.xdist_group("gpu"))
            if not torch.cuda.is_available():
                item.add_marker(pytest.mark.skip(reason="no GPU"))


@pytest.fixture(scope="session")
def summary():
    """Return a function that appends text under a heading to results/gpu/summary.txt."""
    SUMMARY.parent.mkdir(parents=True, exist_ok=True)
    SUMMARY.write_text(json.dumps(environment("cuda"), indent=2) + "\n")

    def add(heading, text):
        with SUMMARY.open("a") as file:
            file.write(f"\n=== {heading}\n{text.strip()}\n")

    return add
