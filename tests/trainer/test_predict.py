"""Prediction from a damaged model.pth: it is named in one line, with what to do about it."""

import pytest
import torch

from tests.helpers.damage import empty, truncate, write_noise
from tests.helpers.small_run import small_run
from trainer import config
from trainer.distributed.process_group import ProcessGroup
from trainer.predict import predict
from trainer.run_files import DamagedFile


@pytest.mark.parametrize(
    ("damage", "error"),
    [(empty, "EOFError"), (truncate, "OSError"), (write_noise, "UnpicklingError")],
)
def test_nothing_is_predicted_by_a_damaged_model(tmp_path, damage, error):
    run, path = config.load(small_run(tmp_path, "charades")), tmp_path / "model.pth"
    torch.save({"fingerprint": config.training_fingerprint(run), "model": {"weight": torch.zeros(10_000)}}, path)
    damage(path)
    words = rf"^{path}: damaged \({error}\); delete it; the training job writes it again from resume\.pth, without"
    with pytest.raises(DamagedFile, match=words):
        predict(run, tmp_path, ProcessGroup(0, 1, torch.device("cpu")))
    assert not (tmp_path / "predictions.npz").exists()
