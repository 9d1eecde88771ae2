"""Fine-tune one method's backbone on one dataset, as a run's config.yaml says.

    python -m trainer.train --config results/runs/ava/moco/seed0/config.yaml

Writes beside the config: model.pth (final weights), history.csv (a row per epoch), summary.json (what was trained),
environment.json (on what, for how long), tensorboard/ and resume.pth. A run that was interrupted resumes from there and
ends with the same weights.
"""

import json
import logging
import shutil
import time
from contextlib import nullcontext
from itertools import islice

import pandas as pd
import torch
from fvcore.nn.precise_bn import get_bn_modules, update_bn_stats
from torch.utils.tensorboard import SummaryWriter

from trainer import checkpointing, datasets
from trainer.checkpointing import PreemptionHandler
from trainer.cli import add_config, add_gpus, command_parser, launch, read_run
from trainer.config import training_fingerprint
from trainer.data.loaders import normalize_clips, read_on_device, training_loader
from trainer.fingerprints import check_pinned_code, pin_code, run_fingerprint
from trainer.models.backbones import BACKBONES
from trainer.models.checkpoints import load_backbone
from trainer.models.cost import cost
from trainer.models.cuda_graph import capture, capture_pays
from trainer.models.network import autocast, build_model
from trainer.optim import build_optimizer, learning_rate, set_learning_rate
from trainer.step import MicroBatchLoss, PendingLosses, parallelize, train_step
from trainer.utils.environment import environment
from trainer.utils.files import atomic_write

log = logging.getLogger("trainer")

LOG_SECONDS = 15  # between progress lines


def fit(run, folder, group):
    """Train ``run`` to its end and write its results into ``folder``, in which no other process may train."""
    check_pinned_code(run.dataset)
    torch.backends.cudnn.benchmark = True  # training clips have one size: cuDNN finds its fastest kernels once
    with checkpointing.exclusive_run(folder) if group.is_main else nullcontext() as check_held:
        group.gather(None)  # no rank reads the checkpoint while the process before this one may still write it
        _fit(run, folder, group, check_held)


def _fit(run, folder, group, check_held):
    torch.manual_seed(run.seed)
    model = build_model(run)
    if run.model.checkpoint:  # before any data is read: a wrong checkpoint fails in seconds
        log.info("%s", load_backbone(model.backbone, run.model.checkpoint, run.model.layout))
    model.to(group.device)
    clips = datasets.task(run.dataset).training_set(run)
    run_fingerprint(run)  # kept for the checkpoints: of the files that are read here, not of later ones
    loader = training_loader(clips, run, group.rank)
    optimizer = build_optimizer(model, run.training, BACKBONES[run.model.backbone].depth)
    state = checkpointing.load(folder / "resume.pth", run, model, optimizer)
    unfinished = state.epoch < run.training.epochs  # else another machine may have trained it
    if unfinished:
        state.jobs.append(environment(run.machine.device))
    losses = PendingLosses(loader, state)
    backbone = capture(model, run, group.device) if unfinished and capture_pays(run) else None
    parallel = parallelize(MicroBatchLoss(model, run, backbone).to(group.device), group)
    began = time.monotonic()

    def note_hours():
        state.jobs[-1]["hours"] = round((time.monotonic() - began) / 3600, 4)

    def save():
        if group.is_main:
            check_held()
            note_hours()
            checkpointing.save(folder / "resume.pth", run, model, state, optimizer)

    preemption = PreemptionHandler(run.machine.checkpoint_minutes, losses.read, save, group.is_main)
    while state.epoch < run.training.epochs:
        train_one_epoch(parallel, optimizer, loader, run, group, losses, preemption)
        row = epoch_row(run, state, loader.batch_sampler.iterations)
        if row["epoch"] % run.training.evaluate_every == 0 or row["epoch"] == run.training.epochs:
            save()  # a job that is ended during validation resumes after the epoch
            row["mAP"] = validate(model, loader, run, group, state)
        state.finish_epoch(row)
        if group.is_main:
            check_held()
            write_history(folder, state.history)
        preemption.checkpoint_if_due()
    if group.is_main:
        check_held()
        if unfinished:
            note_hours()
        write_results(folder, run, model, state, clips)


def train_one_epoch(model, optimizer, loader, run, group, losses: PendingLosses, preemption: PreemptionHandler):
    """Train from ``state.iteration`` to the end of the epoch; after any step a checkpoint may be saved."""
    state = losses.state
    epoch, iterations = state.epoch, loader.batch_sampler.iterations
    loader.batch_sampler.start(epoch, state.iteration)
    batches = read_on_device(loader, group.device)
    started, logged = time.monotonic() - state.seconds, time.monotonic()
    while state.iteration < iterations:
        lr = learning_rate(run.training, epoch + state.iteration / iterations, iterations)
        set_learning_rate(optimizer, lr)
        losses.add(train_step(model, optimizer, batches, run, group, state), lr)
        state.iteration += 1
        due = state.iteration == iterations or (group.is_main and time.monotonic() - logged > LOG_SECONDS)
        losses.read(wait=due)
        state.seconds = time.monotonic() - started
        if due and group.is_main:
            logged = time.monotonic()
            log_progress(run, state, iterations, lr)
        preemption.checkpoint_if_due()


def epoch_row(run, state, iterations) -> dict:
    """Return the row of history.csv of the epoch that ends, of so many iterations; its mAP is not measured yet."""
    epoch = state.epoch + 1
    return {
        "epoch": epoch,
        "step": epoch * iterations,
        "lr": learning_rate(run.training, epoch - 1 / iterations, iterations),
        "loss": state.loss / iterations,
        "clips_per_second": iterations * run.training.batch_size / state.seconds,
        "mAP": None,
    }


def validate(model, loader, run, group, state) -> float:
    """Return the mAP of the validation clips, and log it."""
    if run.training.precise_bn_batches:
        update_precise_bn(model, loader, run, group, state)
    group.broadcast(model.buffers())
    predictions = datasets.task(run.dataset).predict_validation(model, run, group)
    score = float(datasets.DATASETS[run.dataset].metric.score_validation(run.data, predictions))
    log.info("epoch %d/%d  validation mAP %.4f", state.epoch + 1, run.training.epochs, score)
    return score


def update_precise_bn(model, loader, run, group, state):
    """Replace BatchNorm's running averages by exact ones over training clips: "precise BN" (Wu & Johnson, 2021)."""
    sampler = loader.batch_sampler
    sampler.start(run.training.epochs + state.epoch)  # an order and random numbers that no epoch has
    count = min(run.training.precise_bn_batches, sampler.iterations)
    # Of rank 0: the same clips on any number of GPUs.
    first_parts = islice(read_on_device(loader, group.device), 0, None, len(sampler.mine))
    inputs = (normalize_clips(batch.clips, run.normalization) for batch in first_parts)
    model.train()
    kept = [(norm, norm.running_mean, norm.running_var) for norm in get_bn_modules(model.backbone)]
    with autocast(group.device, run.training.precision):
        update_bn_stats(model.backbone, inputs, count)
    for norm, mean, var in kept:  # fvcore puts new tensors in their places, and CUDA graphs write into the old ones
        norm.running_mean, norm.running_var = mean.copy_(norm.running_mean), var.copy_(norm.running_var)


def log_progress(run, state, iterations, lr):
    """Log one line: epoch, step, loss, learning rate, speed and time left."""
    seconds_per_step = state.seconds / state.iteration
    left = seconds_per_step * ((run.training.epochs - state.epoch) * iterations - state.iteration)
    log.info(
        "epoch %d/%d  step %d/%d  loss %.4f  lr %.3g  %.1f clips/s  %d:%02d h left",
        state.epoch + 1,
        run.training.epochs,
        state.iteration,
        iterations,
        state.loss / state.iteration,
        lr,
        run.training.batch_size / seconds_per_step,
        *divmod(round(left / 60), 60),
    )


def write_history(folder, history):
    """Write history.csv and the same as TensorBoard events; both hold each epoch once, also after interruptions."""
    with atomic_write(folder / "history.csv") as partial:
        pd.DataFrame(history).to_csv(partial, index=False)
    row = history[-1]
    with SummaryWriter(folder / "tensorboard", purge_step=row["epoch"]) as events:
        for name in ("loss", "lr", "mAP"):
            if row[name] is not None:
                events.add_scalar(name, row[name], row["epoch"])


def write_results(folder, run, model, state, clips):
    """Write summary.json, environment.json and model.pth.

    Where the file system has hard links, the last resume checkpoint is the same file as model.pth under a second name.
    So it takes no disk, and a job that ends past its time limit, whose outputs Snakemake deletes, does not train again.
    """
    summary = {
        **cost(model.cpu(), run.clip),  # a GPU computes a few channels of zeros more
        "epochs": run.training.epochs,
        "videos_trained": pd.read_csv(run.data.train, dtype=str, keep_default_na=False)["video"].nunique(),
        "clips_trained": len(clips),
        "fingerprint": training_fingerprint(run),
    }
    write_history(folder, state.history)
    *earlier, last = state.jobs
    for name, content in ("summary", summary), ("environment", last | {"earlier_jobs": earlier}):
        with atomic_write(folder / f"{name}.json") as partial:
            partial.write_text(json.dumps(content, indent=2) + "\n")
    checkpointing.save(folder / "resume.pth", run, model, state)
    checkpointing.previous(folder / "resume.pth").unlink(missing_ok=True)
    with atomic_write(folder / "model.pth", sole_writer=True) as partial:
        try:
            partial.hardlink_to(folder / "resume.pth")
        except OSError:  # a file system without hard links
            shutil.copyfile(folder / "resume.pth", partial)


if __name__ == "__main__":
    parser = command_parser("trainer.train", __doc__)
    add_config(parser)
    add_gpus(parser)
    run, folder = read_run(parser.parse_args())
    pin_code(run.dataset)
    launch("trainer.train", fit, run, folder)
