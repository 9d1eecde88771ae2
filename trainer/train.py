"""Fine-tune one method's backbone on one dataset, as a run's config.yaml says.

    python -m trainer.train --config results/runs/ava/moco/seed0/config.yaml

Writes beside the config: model.pth (final weights), history.csv (a row per epoch), summary.json (what was trained),
environment.json (on what), tensorboard/ and resume.pth. A run that was stopped goes on from there, to the same weights.
"""

import json
import logging
import shutil
import time
from contextlib import contextmanager, nullcontext
from itertools import islice

import numpy as np
import pandas as pd
import torch
from fvcore.nn.precise_bn import update_bn_stats
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.tensorboard import SummaryWriter

from trainer import resume
from trainer.command import on_gpus, parse
from trainer.data import ava, charades
from trainer.data.batch import network_input, training_loader
from trainer.environment import environment
from trainer.errors import InputError
from trainer.files import whole_file
from trainer.models.checkpoints import load_backbone
from trainer.models.cost import cost
from trainer.models.network import build_model
from trainer.optimiser import build_optimiser, learning_rate, set_learning_rate
from trainer.predict import predict_validation
from trainer.score import score_validation

log = logging.getLogger("trainer")

LOG_SECONDS = 15  # between progress lines


def fit(run, folder, world):
    """Train ``run`` to its end and write its results into ``folder``."""
    torch.manual_seed(run.seed)
    model = build_model(run.model, run.dataset, run.clip)
    if run.model.checkpoint:  # before any data is read: a wrong checkpoint fails in seconds
        log.info("%s", load_backbone(model.backbone, run.model.checkpoint, run.model.layout))
    model.to(world.device)
    clips = {"ava": ava, "charades": charades}[run.dataset].training_set(run)
    loader = training_loader(clips, run, world.rank)
    optimiser = build_optimiser(model, run.training)
    progress = resume.load(folder / "resume.pth", run, model, optimiser, world.device)
    if progress.epoch < run.training.epochs:  # else another machine has trained it
        progress.environment = environment(run.machine.device)
    parallel = DistributedDataParallel(model, forward_sync_buffers=False) if world.ranks > 1 else model

    def save():
        if world.leads:
            resume.save(folder / "resume.pth", run, model, progress, optimiser)

    pause = resume.Pause(run.machine.save_minutes, save, world.leads)
    while progress.epoch < run.training.epochs:
        train_one_epoch(parallel, optimiser, loader, run, world, progress, pause)
        progress.finish_epoch(epoch_row(model, loader, run, world, progress, save))
        if world.leads:
            write_history(folder, progress.history)
        pause()
    if world.leads:
        write_results(folder, run, model, progress, clips)


def train_one_epoch(model, optimiser, loader, run, world, progress, pause):
    """Train from ``progress.iteration`` to the end of the epoch; ``pause`` may save and stop after any step."""
    epoch, iterations = progress.epoch, loader.batch_sampler.iterations
    loader.batch_sampler.start(epoch, progress.iteration)
    batches = iter(loader)
    started, spoke = time.monotonic() - progress.seconds, time.monotonic()
    while progress.iteration < iterations:
        rate = learning_rate(run.training, epoch + progress.iteration / iterations)
        set_learning_rate(optimiser, rate)
        progress.loss += np.mean(world.gather(step(model, optimiser, batches, run, world, progress))).item()
        progress.iteration += 1
        progress.seconds = time.monotonic() - started
        if world.leads and (time.monotonic() - spoke > LOG_SECONDS or progress.iteration == iterations):
            spoke = time.monotonic()
            log_progress(run, progress, iterations, rate)
        pause()


def step(model, optimiser, batches, run, world, progress):
    """Take one optimiser step over this rank's shares of a batch, the next of ``batches``; return their mean loss.

    Every share has its own BatchNorm statistics and mean loss, and gradients are averaged over shares, so the number of
    GPUs decides nothing. Running statistics follow share 0, as those of GPU 0 do in the published runs.
    """
    mine = range(world.rank, run.training.shares, world.ranks)
    loss_sum = 0.0
    for share in mine:
        batch = next(batches).to(world.device)
        seed_dropout(run.seed, progress.epoch, progress.iteration, share)
        synchronise = nullcontext() if world.ranks == 1 or share == mine[-1] else model.no_sync()
        statistics = nullcontext() if share == 0 else still_statistics(model)
        with synchronise, statistics:
            loss = loss_of(model, batch, run)
            if not torch.isfinite(loss):
                raise InputError(
                    f"the loss is {loss.item()} at epoch {progress.epoch + 1}, step {progress.iteration + 1}, rate "
                    f"{optimiser.param_groups[0]['lr']:.3g}, on the clips {'; '.join(batch.names)}: look at their "
                    "frames and boxes, or lower training: base_lr"
                )
            (loss / len(mine)).backward()
        loss_sum += loss.item()
    optimiser.step()
    optimiser.zero_grad()
    return loss_sum / len(mine)


def loss_of(model, batch, run):
    """Binary cross-entropy of logits, mean over clips or boxes and over classes."""
    with torch.autocast(batch.clips.device.type, torch.bfloat16, enabled=run.machine.precision == "bfloat16"):
        logits = model(network_input(batch.clips, run.clip), batch.boxes)
    return nn.functional.binary_cross_entropy_with_logits(logits, batch.targets)


def seed_dropout(*numbers):
    """Make the random draws that follow a function of ``numbers`` alone, so that stops and ranks change nothing."""
    torch.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))


@contextmanager
def still_statistics(model):
    """Let BatchNorm normalise by its batch without moving the running statistics."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm3d)]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def epoch_row(model, loader, run, world, progress, save):
    """Validate where the recipe does, having saved, and return the epoch's row of history.csv."""
    training, epoch = run.training, progress.epoch + 1
    iterations = loader.batch_sampler.iterations
    row = {
        "epoch": epoch,
        "step": epoch * iterations,
        "rate": learning_rate(training, epoch - 1 / iterations),
        "loss": progress.loss / iterations,
        "clips_per_second": iterations * training.batch / progress.seconds,
        "mAP": None,
    }
    if epoch % training.evaluate_every == 0 or epoch == training.epochs:
        save()  # a stop in the middle of the validation waits for no end of it
        if training.precise_bn_batches:
            measure_statistics(model, loader, run, world, progress)
        world.broadcast(model.buffers())
        row["mAP"] = float(score_validation(run, predict_validation(model, run, world)))
        if world.leads:
            log.info("epoch %d/%d  validation mAP %.4f", epoch, training.epochs, row["mAP"])
    return row


def measure_statistics(model, loader, run, world, progress):
    """Replace BatchNorm's running averages by exact ones over training clips: "precise BN" (Wu & Johnson, 2021)."""
    sampler = loader.batch_sampler
    sampler.start(run.training.epochs + progress.epoch)  # an order and draws that no epoch has
    count = min(run.training.precise_bn_batches, sampler.iterations)
    first_shares = islice(loader, 0, None, len(sampler.mine))  # of rank 0: the same clips on any number of GPUs
    inputs = (network_input(batch.to(world.device).clips, run.clip) for batch in first_shares)
    model.train()
    update_bn_stats(model.backbone, inputs, count)


def log_progress(run, progress, iterations, rate):
    """One line for a person: where, how well, how fast, how long still."""
    seconds_per_step = progress.seconds / progress.iteration
    left = seconds_per_step * ((run.training.epochs - progress.epoch) * iterations - progress.iteration)
    log.info(
        "epoch %d/%d  step %d/%d  loss %.4f  rate %.3g  %.1f clips/s  %d:%02d h left",
        progress.epoch + 1,
        run.training.epochs,
        progress.iteration,
        iterations,
        progress.loss / progress.iteration,
        rate,
        run.training.batch / seconds_per_step,
        *divmod(round(left / 60), 60),
    )


def write_history(folder, history):
    """history.csv, and the same as TensorBoard events; both hold each epoch once, however often the run was stopped."""
    with whole_file(folder / "history.csv") as partial:
        pd.DataFrame(history).to_csv(partial, index=False)
    row = history[-1]
    with SummaryWriter(folder / "tensorboard", purge_step=row["epoch"]) as events:
        for name in ("loss", "rate", "mAP"):
            if row[name] is not None:
                events.add_scalar(name, row[name], row["epoch"])


def write_results(folder, run, model, progress, clips):
    """summary.json, environment.json and model.pth.

    The last resume checkpoint is the same file as model.pth by a second name, where the file system has hard links:
    it costs no disk, and a job that ends past its time limit, whose outputs Snakemake deletes, trains nothing again.
    """
    summary = {
        **cost(model, run.clip),
        "epochs": run.training.epochs,
        "videos_trained": pd.read_csv(run.data.train)["video"].nunique(),
        "clips_trained": len(clips),
    }
    write_history(folder, progress.history)
    for name, content in ("summary", summary), ("environment", progress.environment):
        with whole_file(folder / f"{name}.json") as partial:
            partial.write_text(json.dumps(content, indent=2) + "\n")
    resume.save(folder / "resume.pth", run, model, progress)
    with whole_file(folder / "model.pth") as partial:
        try:
            partial.hardlink_to(folder / "resume.pth")
        except OSError:  # a file system without hard links
            shutil.copyfile(folder / "resume.pth", partial)


if __name__ == "__main__":
    _, run, folder = parse(__doc__)
    on_gpus("trainer.train", fit, run, folder)
