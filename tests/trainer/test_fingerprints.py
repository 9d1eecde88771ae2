"""Fingerprints: which changes of files and code make another run, and which do not."""

import shutil

import pytest

from tests.helpers.paths import ROOT
from tests.helpers.small_run import small_run
from trainer import config
from trainer.fingerprints import GROUP_CODE, WEIGHT_CODE, code_fingerprint, run_fingerprint


def test_files_of_a_run_belong_to_its_fingerprint(tmp_path):
    run = config.load(small_run(tmp_path, "charades"))
    before = run_fingerprint(run)
    for name in ("list.csv", "frames.npy"):
        path = tmp_path / name
        content = path.read_bytes()
        path.write_bytes(content[:-2] + b"7" + content[-1:])
        run_fingerprint.cache_clear()
        assert run_fingerprint(run) != before, name
        path.write_bytes(content)
    run_fingerprint.cache_clear()
    assert run_fingerprint(run) == before


@pytest.fixture
def code(tmp_path):
    """Return a function: the fingerprint of a copy of the trainer after a replacement in one of its files."""
    shutil.copytree(ROOT / "trainer", tmp_path / "trainer", ignore=shutil.ignore_patterns("__pycache__"))

    def fingerprint(name, old, new, dataset="ava"):
        path = tmp_path / "trainer" / name
        text = path.read_text()
        assert old in text, f"{name}: {old!r} is not in it any more; name another text of the file"
        path.write_text(text.replace(old, new))
        changed = code_fingerprint.__wrapped__(dataset, tmp_path / "trainer")
        path.write_text(text)
        return changed

    return fingerprint


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("optim.py", '"""Optimizers and', '"""Another word about optimizers and'),  # of a module
        ("optim.py", '    """Set the learning rate', '    """Set the rate'),  # of a function
        ("optim.py", "fused=True,  #", "fused=True,  # really:"),
        ("optim.py", "    for group in", "\n    for group in"),
        ("train.py", '"epoch %d/%d  validation mAP', '"epoch %d of %d  validation mAP'),
        ("step.py", "look at their ", "see their "),  # of an error
        ("models/backbones.py", '"unknown backbone', '"no such backbone'),
    ],
)
def test_words_are_not_in_the_code_fingerprint(code, name, old, new):
    assert code(name, old, new) == code_fingerprint("ava")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("optim.py", "nesterov=training.momentum > 0", "nesterov=False"),
        ("step.py", "optimizer.zero_grad(", "print("),
        ("step.py", "if part == 0 and", "if part == 1 and"),
        ("tasks/ava.py", "resolution = 7", "resolution = 14"),
        ("data/ava_lists.py", "int(action) - 1", "int(action) - 2"),
        ("data/transforms.py", "< 0.5", "< 0.4"),
        ("data/loaders.py", "torch.uint8: 255", "torch.uint8: 256"),
        ("models/backbones.py", "module.eps = bn_eps", "pass"),
    ],
)
def test_statements_are_in_the_code_fingerprint(code, name, old, new):
    assert code(name, old, new) != code_fingerprint("ava")


def test_all_versions_of_python_give_code_the_same_fingerprint(tmp_path):
    """Python 3.12 adds a field to functions and classes; the hash is of 3.11."""
    for name in (*WEIGHT_CODE, GROUP_CODE):
        path = tmp_path / name.format("ava")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("class A:\n    def f(self, a: int = 1) -> int:\n        return a + 1\n")
    expected = "ee6232b70f526408496656bc2f69cf804dd8a38182ddfd4afdc20346a3884498"
    assert code_fingerprint.__wrapped__("ava", tmp_path) == expected


def test_the_code_fingerprint_is_that_of_a_dataset(code):
    change = ("tasks/charades.py", "room = available - span", "room = available")
    assert code(*change, dataset="charades") != code_fingerprint("charades")
    assert code(*change, dataset="ava") == code_fingerprint("ava")


@pytest.mark.parametrize(
    ("name", "line", "file"),
    [
        # in the function that builds it
        ("models/backbones.py", "    from trainer.models.slow_r50 import Slow", "slow_r50.py"),
        ("models/backbones.py", "    import trainer.models.slow_r50", "slow_r50.py"),
        ("models/backbones.py", "    from trainer.models.slow_r50 import Slow", "slow_r50/__init__.py"),
        ("tasks/ava.py", "    from trainer.models import slow_r50", "slow_r50.py"),
    ],
)
def test_imported_modules_are_in_the_code_fingerprint(code, tmp_path, name, line, file):
    importing = tmp_path / "trainer" / name
    importing.write_text(f"{importing.read_text()}\n\ndef build():\n{line}\n")
    module = tmp_path / "trainer/models" / file
    module.parent.mkdir(exist_ok=True)
    module.write_text("width = 64\n")
    before = code("optim.py", "", "")
    assert code(f"models/{file}", "64", "32") != before == code(f"models/{file}", "64", "64  # of 256")


def test_new_files_and_other_modules_are_not_in_the_code_fingerprint(code, tmp_path):
    (tmp_path / "trainer/tasks/kinetics.py").write_text("classes = 400\n")
    (tmp_path / "trainer/new.py").write_text("x = 1\n")
    assert code("distributed/gpu_lease.py", "POLL_SECONDS = 0.5", "POLL_SECONDS = 5") == code_fingerprint("ava")
