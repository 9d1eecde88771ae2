"""Predictions of a fine-tuned network: a dict of arrays with one row per example, in the order of its list.

The dataset's task (``trainer/tasks``) determines the arrays.
"""

import logging
import time

import numpy as np
import torch

from trainer import datasets
from trainer.checkpointing import restore
from trainer.config import result_fingerprint, training_fingerprint
from trainer.data.loaders import normalize_clips, read_on_device
from trainer.models.network import autocast, build_model
from trainer.run_files import explain_damaged_pickle
from trainer.utils.errors import InputError
from trainer.utils.files import atomic_write

log = logging.getLogger("trainer")

LOG_SECONDS = 15  # between progress lines


def predict(run, folder, group):
    """Write predictions.npz of the test set, by the weights of model.pth, into ``folder``."""
    weights = folder / "model.pth"
    if not weights.is_file():
        raise InputError(f"{weights}: no such file; run python -m trainer.train --config {folder}/config.yaml first")
    with explain_damaged_pickle(weights):
        saved = torch.load(weights, map_location="cpu", weights_only=True)
    if not isinstance(saved, dict) or saved.get("fingerprint") != training_fingerprint(run):
        raise InputError(f"{weights}: trained with other settings than config.yaml beside it; delete it to train again")
    model = build_model(run)
    restore(weights, saved, model)
    model.to(group.device)
    predictions = datasets.task(run.dataset).predict_test(model, run, group)
    if group.is_main:
        with atomic_write(folder / "predictions.npz") as partial:
            np.savez_compressed(partial, fingerprint=result_fingerprint(run), **predictions)


def run_inference(loader, score, model, group):
    """Return arrays of what ``score(batch)`` returns for all batches of ``loader`` and all ranks, in the list's order.

    ``score`` returns a dict of tensors, among them "row": the place of each example in the list. They stay on the
    device to the end, so that the host does not wait for each batch.
    """
    parts, logged = [], time.monotonic()
    model.eval()
    with torch.inference_mode():
        for number, batch in enumerate(read_on_device(loader, group.device), start=1):
            parts.append(score(batch))
            if group.is_main and time.monotonic() - logged > LOG_SECONDS:
                logged = time.monotonic()
                log.info("predicted batch %d/%d", number, len(loader))
    model.train()
    mine = {name: torch.cat([part[name] for part in parts]).cpu().numpy() for name in (parts[0] if parts else ())}
    parts = [part for part in group.gather(mine) if part]  # a rank may have no batch
    order = np.argsort(np.concatenate([part["row"] for part in parts]), kind="stable")
    return {name: np.concatenate([part[name] for part in parts])[order] for name in parts[0]}


def probabilities(model, clips, run, boxes=None):
    """Return the network's outputs for unnormalized clips (B, 3, T, H, W), float32."""
    with autocast(clips.device, run.training.precision):
        return model(normalize_clips(clips, run.normalization), boxes).float()
