"""Predictions of a network: clips in, a dict of arrays out, one row per example in the order of its list.

AVA:      row, video, second, box (N, 4) as fractions of the frame, score (N, classes)
Charades: row, video, target (N, classes), score (N, classes)
"""

import logging
import time

import numpy as np
import torch

from trainer.data import ava, charades
from trainer.data.batch import evaluation_loader, network_input, video_loader
from trainer.errors import InputError
from trainer.files import whole_file
from trainer.metrics.charades import video_score
from trainer.models.network import build_model

log = logging.getLogger("trainer")

LOG_SECONDS = 15  # between progress lines


def predict(run, folder, world):
    """Write predictions.npz of the test set, by the weights of model.pth, into ``folder``."""
    weights = folder / "model.pth"
    if not weights.is_file():
        raise InputError(f"{weights}: no such file; make it by python -m trainer.train --config {folder}/config.yaml")
    model = build_model(run.model, run.dataset, run.clip)
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True)["model"])
    model.to(world.device)
    predictions = predict_test(model, run, world)
    if world.leads:
        with whole_file(folder / "predictions.npz") as partial:
            np.savez_compressed(partial, **predictions)


def predict_test(model, run, world):
    """Score the test set, with all clips and crops."""
    if run.dataset == "ava":
        return predict_boxes(model, ava.test_set(run), run, world)
    return predict_videos(model, charades.test_set(run), run, world)


def predict_validation(model, run, world):
    """Score what training is watched by: every fourth second (AVA), one clip of each video (Charades)."""
    if run.dataset == "ava":
        return predict_boxes(model, ava.validation_set(run), run, world)
    return predict_clips(model, charades.validation_set(run), run, world)


def predict_boxes(model, clips, run, world):
    """Score every person box of AVA clips."""

    def score(batch):
        rows = np.asarray(batch.rows)[batch.boxes[:, 0].long().cpu().numpy()]
        return {"row": rows, "box": batch.origins.cpu().numpy(), "score": probabilities(model, batch, run)}

    predictions = collect(evaluation_loader(clips, run, world.rank), score, model, world)
    listed = clips.key_frames
    return predictions | {"video": listed.videos[predictions["row"]], "second": listed.seconds[predictions["row"]]}


def predict_clips(model, clips, run, world):
    """Score one clip of every Charades video."""

    def score(batch):
        return {
            "row": np.asarray(batch.rows),
            "target": batch.targets.cpu().numpy(),
            "score": probabilities(model, batch, run),
        }

    predictions = collect(evaluation_loader(clips, run, world.rank), score, model, world)
    return predictions | {"video": clips.videos.names[predictions["row"]]}


def predict_videos(model, videos, run, world):
    """Score every Charades video: the element-wise maximum over all its clips and crops."""
    at_once = run.training.batch // run.training.shares

    def score(views):
        chunks = [probabilities_of(model, clips, None, run) for clips in views.clips(at_once)]
        return {
            "row": np.array([views.row]),
            "target": views.target.numpy()[None],
            "score": video_score(np.concatenate(chunks))[None],
        }

    predictions = collect(video_loader(videos, run, world.rank), score, model, world)
    return predictions | {"video": videos.videos.names[predictions["row"]]}


def collect(loader, score, model, world):
    """Apply ``score`` to what ``loader`` yields and put the rows of all ranks into the order of the list."""
    parts, spoke = [], time.monotonic()
    model.eval()
    with torch.inference_mode():
        for number, batch in enumerate(loader, start=1):
            parts.append(score(batch.to(world.device)))
            if world.leads and time.monotonic() - spoke > LOG_SECONDS:
                spoke = time.monotonic()
                log.info("predicted batch %d/%d", number, len(loader))
    model.train()
    parts = [part for of_rank in world.gather(parts) for part in of_rank]
    order = np.argsort(np.concatenate([part["row"] for part in parts]), kind="stable")
    return {name: np.concatenate([part[name] for part in parts])[order] for name in parts[0]}


def probabilities(model, batch, run):
    return probabilities_of(model, batch.clips, batch.boxes, run)


def probabilities_of(model, clips, boxes, run):
    """Network outputs of a batch as a float32 array on the CPU."""
    with torch.autocast(clips.device.type, torch.bfloat16, enabled=run.machine.precision == "bfloat16"):
        return model(network_input(clips, run.clip), boxes).float().cpu().numpy()
