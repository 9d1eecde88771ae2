"""Runs as the recipes of config/ describe them, for benchmarks: their settings, networks and batches of noise."""

import time
from dataclasses import replace

import torch

from trainer.config import Run
from trainer.data.loaders import Batch
from trainer.datasets import DATASETS, task
from trainer.distributed.process_group import ProcessGroup
from trainer.models.backbones import BACKBONES, build_backbone
from trainer.models.cuda_graph import capture, capture_pays
from trainer.models.network import Network, build_model
from trainer.optim import build_optimizer
from trainer.step import MicroBatchLoss
from trainer.utils.settings import read
from workflow.lib.config_files import read_settings
from workflow.lib.experiment import Experiment

BOXES = 3  # of each key frame: AVA's mean is 2.2 in training


def recipe_run(dataset, device, backbone="r2plus1d_18", clip=None, training=None, **machine) -> Run:
    """Return a run of a backbone by its recipe, without dropout and with changes of some settings."""
    experiment = Experiment(read_settings({"local_config": None, "local_methods_table": None}))
    run = read(Run, experiment.run(dataset, "scratch", 0), "config")
    recipe = experiment.config.recipes[BACKBONES[backbone].recipe][dataset]
    return replace(
        run,
        model=replace(run.model, backbone=backbone, dropout=0.0),
        clip=replace(recipe.clip, **clip or {}),
        training=replace(recipe.training, **training or {}),
        machine=replace(run.machine, **{"device": device.type, "world_size": 1} | machine),
    )


def with_precision(run, precision) -> Run:
    """Return the run with another precision."""
    return replace(run, training=replace(run.training, precision=precision))


def alone(device) -> ProcessGroup:
    """Return the group of a process without others."""
    return ProcessGroup(0, 1, device)


def plain_network(run, layout=torch.contiguous_format) -> Network:
    """Return the network with torchvision's modules as they are, over memory in one layout."""
    recompute = run.machine.activation_checkpointing
    backbone = build_backbone(run.model.backbone, run.model.bn_eps, recompute=recompute)
    backbone.register_forward_pre_hook(lambda _, inputs: inputs[0].contiguous(memory_format=layout))
    return Network(backbone, task(run.dataset).build_head(run, BACKBONES[run.model.backbone]))


def network(run, layout=None) -> Network:
    """Return the network of a run, or a plain one of that layout, always with the same weights, on the run's device."""
    torch.manual_seed(0)
    return (plain_network(run, layout) if layout else build_model(run)).to(run.machine.device)


def loss_and_optimizer(run):
    """Return (loss, optimizer) of a run, its training passes captured where the trainer captures them."""
    model, device = network(run), torch.device(run.machine.device)
    captured = capture(model, run, device) if capture_pays(run) else None
    optimizer = build_optimizer(model, run.training, BACKBONES[run.model.backbone].depth)
    return MicroBatchLoss(model, run, captured).to(device), optimizer


def noise(run, clips, size=None) -> Batch:
    """Return a batch of uint8 noise on the run's device, as the loader serves it; ``size``: (height, width)."""
    torch.manual_seed(1)
    height, width = size or (run.clip.crop, run.clip.crop)
    pixels = torch.randint(0, 256, (clips, run.clip.num_frames, height, width, 3), dtype=torch.uint8)
    rows = torch.arange(clips)
    classes, boxes = DATASETS[run.dataset].num_classes, None
    if run.dataset == "ava":
        corners = torch.tensor([0.1 * width, 0.1 * height, 0.6 * width, 0.9 * height])
        number = torch.arange(clips).repeat_interleave(BOXES)
        boxes = torch.cat([number[:, None].float(), corners.expand(len(number), 4)], dim=1)
    targets = (torch.rand(clips if boxes is None else len(boxes), classes) < 0.05).float()
    return Batch(pixels.permute(0, 4, 1, 2, 3), targets, rows, boxes).to(run.machine.device)


def seconds(work):
    """Return the wall time of a call, its work on the GPU included.

    On a CPU: the processor time of a thread, which other programs change less.
    """
    if not torch.cuda.is_initialized():
        began = time.process_time()
        work()
        return (time.process_time() - began) / torch.get_num_threads()
    torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - began


def smaller_batch(clips):
    """Return settings of training for one micro-batch of ``clips``; none to keep the recipe's (None)."""
    return {"batch_size": clips, "micro_batches": 1} if clips else {}
