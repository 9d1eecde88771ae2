"""Tests that need a GPU: skipped without one; what they measured is written into one file."""

import json
from contextlib import suppress

import pytest
import torch

from tests.helpers.paths import GPU_SUMMARY, ROOT
from trainer.utils.environment import environment

HERE = ROOT / "tests/gpu"


def pytest_collection_modifyitems(items):
    """Skip where PyTorch sees no GPU."""
    for item in items:
        if item.path.parent == HERE:
            item.add_marker(pytest.mark.gpu)
            if not torch.cuda.is_available():
                item.add_marker(pytest.mark.skip(reason="no GPU"))


@pytest.fixture(autouse=True)
def own_leases(tmp_path, monkeypatch):
    """Let tests share a GPU instead of waiting for each other."""
    monkeypatch.setenv("VSSL_GPU_LOCKS", str(tmp_path / "locks"))


@pytest.fixture(scope="session")
def summary():
    """Return a function that appends text under a heading to results/gpu/summary.txt, which `make gpu` begins anew."""
    GPU_SUMMARY.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError), GPU_SUMMARY.open("x") as file:
        file.write(json.dumps(environment("cuda"), indent=2) + "\n")

    def add(heading, text):
        with GPU_SUMMARY.open("a") as file:
            file.write(f"\n=== {heading}\n{text.strip()}\n")

    return add
