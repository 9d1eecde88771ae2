"""Full memory while a file of weights is read: no reader calls the file damaged, as it may be whole."""

import re

import pytest
import torch
from torch import nn

from tests.helpers.small_run import small_run
from trainer import checkpointing, config
from trainer.checkpointing import TrainingState
from trainer.distributed.lifetime import explain
from trainer.distributed.process_group import ProcessGroup
from trainer.models.safe_load import read_checkpoint
from trainer.predict import predict


def allocate_too_much(*_arguments, **_options):
    torch.empty(2**60, dtype=torch.uint8)


def fill_gpu(*_arguments, **_options):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.mark.parametrize(
    "words",
    [
        "CUDA error: out of memory",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "GET was unable to find an engine to execute this computation",
        "unable to mmap: Cannot allocate memory",
    ],
)
def test_full_memory_has_many_words(words):
    assert explain(RuntimeError(words)).startswith(f"out of memory (RuntimeError: {words})")


class TooLarge(torch.utils.data.Dataset):
    def __len__(self):
        return 1

    __getitem__ = allocate_too_much


def test_full_memory_of_a_loader_worker_is_another_matter():
    with pytest.raises(RuntimeError) as raised:
        list(torch.utils.data.DataLoader(TooLarge(), num_workers=1))
    assert re.search(r"^a loader worker died .* lower machine: workers", explain(raised.value))


def resume(run, folder):
    checkpointing.load(folder / "resume.pth", run, nn.Linear(2, 2), None)


def predict_test(run, folder):
    predict(run, folder, ProcessGroup(0, 1, torch.device("cpu")))


def read_pretrained(_run, folder):
    read_checkpoint(folder / "model.pth")


@pytest.mark.parametrize("fill", [allocate_too_much, fill_gpu])
@pytest.mark.parametrize("read", [resume, predict_test, read_pretrained])
def test_a_file_read_into_full_memory_is_not_damaged(read, fill, tmp_path, monkeypatch):
    run = config.load(small_run(tmp_path, "charades"))
    checkpointing.save(tmp_path / "resume.pth", run, nn.Linear(2, 2), TrainingState())
    (tmp_path / "model.pth").write_bytes((tmp_path / "resume.pth").read_bytes())
    monkeypatch.setattr(torch, "load", fill)
    with pytest.raises(RuntimeError) as raised:
        read(run, tmp_path)
    assert explain(raised.value).startswith("out of memory (")


@pytest.mark.parametrize("fill", [allocate_too_much, fill_gpu])
def test_weights_restored_into_full_memory_are_those_of_the_run(fill, tmp_path, monkeypatch):
    model = nn.Linear(2, 2)
    monkeypatch.setattr(model, "load_state_dict", fill)
    with pytest.raises(RuntimeError) as raised:
        checkpointing.restore(tmp_path / "resume.pth", {"model": {}}, model)
    assert explain(raised.value).startswith("out of memory (")
