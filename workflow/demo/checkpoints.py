"""Write checkpoints as the authors' training code does, around a given backbone.

Nesting, names and prefixes of tensors, heads, momentum encoders, audio networks, optimizer state, pickled objects and
the file format follow the authors' code. All tensors but the backbone's are expanded from one number, which takes no
space in the file. So a file is hardly larger than its backbone (125 MB, or 62 MB in half precision), and a test notices
if a momentum encoder is loaded as the backbone.
"""

import argparse
import re
from collections import OrderedDict, defaultdict
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, ResNet

from trainer.utils.files import atomic_write

FILES = {
    "selavi": "selavi_kinetics.pth",
    "moco": "checkpoint_0199.pth.tar",
    "video_moco": "r2plus1D_checkpoint_0199.pth.tar",
    "pretext_contrast": "pcl_r2p1d_res_ssl.pt",
    "rspnet": "snellius_checkpoint_epoch_200.pth.tar",
    "avid_cma": "avid_cma_ckpt-ep20.pth.tar",
    "ctp": "snellius_r2p1d18_ctp_k400_epoch_90.pth",
    "tclr": "rpd18kin400.pth",
    "gdt": "gdt_K400.pth",
    "supervised": "r2plus1d_18-91a641e6.pth",
    "tubelet_contrast": "epoch_100.pth",
}
LEGACY = {"moco", "video_moco", "pretext_contrast", "gdt", "supervised"}  # of PyTorch before 1.6, not zips


def write_checkpoint(layout: str, path, backbone_state: dict[str, Tensor], half: bool = False):
    """Write ``path`` in ``layout``, a key of ``AUTHORS``; ``half``: weights and statistics in float16."""
    backbone = {name: t.half() if half and t.is_floating_point() else t for name, t in backbone_state.items()}
    with atomic_write(path) as partial, _names_of_torch_1_9():
        torch.save(AUTHORS[layout](backbone), partial, _use_new_zipfile_serialization=layout not in LEGACY)


# One function per method returns the object that its training code passes to torch.save.


def _selavi(backbone):
    model = _prefixed("module.video_network.base.", backbone)
    model |= _constant("module.audio_network.base.", _resnet9(classes=None))
    for head in (f"mlp_{modality}{i}" for modality in "va" for i in range(10)):
        model |= _constant(f"module.{head}.block_forward.", _gdt_mlp(400))
    return {
        "epoch": 200,
        "dist": [torch.full((), 0.1, dtype=torch.float64).expand(400, 1)] * 10,
        "model": model,
        "optimizer": _optimizer(model, "momentum_buffer"),
        "selflabels": torch.zeros((), dtype=torch.int64).expand(230_976, 10),
    }


def _video_moco(backbone):
    encoder = _prefixed("module.encoder_q.", backbone) | _constant("module.encoder_q.", _linear("fc", 128))
    momentum = _constant("module.encoder_k.", _shapes(backbone) | _linear("fc", 128))
    queue = _constant("module.", {"queue": (128, 65536), "queue_ptr": (1,)})
    return {"epoch": 200, "arch": "r2plus1d_18", "state_dict": OrderedDict(encoder | momentum | queue)}


def _moco(backbone):
    checkpoint = _video_moco(backbone)
    return checkpoint | {"optimizer": _optimizer(checkpoint["state_dict"], "momentum_buffer")}


def _pretext_contrast(backbone):
    heads = _linear("projector.mlp.0", 512) | _linear("projector.mlp.2", 128)
    heads |= _linear("fc_seq", 2, 1024) | _linear("fc_speed", 4, 1024)
    return _prefixed("module.base_network.", _numbered(backbone)) | _constant("module.", heads)


def _rspnet(backbone):
    heads = _linear("encoder.linear", 1) | _linear("fc1.2", 128) | _linear("fc2.2", 128)
    encoder = _prefixed("encoder.base_network.", _numbered(backbone))
    model = _prefixed("encoder_q.", encoder) | _constant("encoder_q.", heads)
    model |= _constant("encoder_k.", _shapes(encoder) | heads)
    model |= _constant("", {"queue": (128, 16384), "queue_ptr": (1,)})
    return {
        "epoch": 200,
        "arch": "r2plus1d",
        "model": model,
        "best_loss": 1.25,
        "optimizer": _optimizer(model, "momentum_buffer"),
        "scheduler": {"T_max": 200, "eta_min": 0.0, "last_epoch": 200, "_last_lr": [0.0]},
    }


def _avid_cma(backbone):
    audio = {"conv1.0.weight": (64, 1, 7, 7)} | _batchnorm("conv1.1", 64)
    for block, (channels, width) in enumerate([(64, 64), (64, 128), (128, 256), (256, 512)], start=1):
        audio |= {f"block{block}.conv1.weight": (width, channels, 3, 3)} | _batchnorm(f"block{block}.bn1", width)
        audio |= {f"block{block}.conv2.weight": (width, width, 3, 3)} | _batchnorm(f"block{block}.bn2", width)
    projection = _linear("projection.0", 512) | _linear("projection.2", 512) | _linear("projection.4", 128)
    model = _prefixed("module.video_model.", backbone) | _constant("module.audio_model.", audio)
    model |= _constant("module.video_proj.", projection) | _constant("module.audio_proj.", projection)
    memory = {f"nce_average.view{view}_mem": (234_900, 128) for view in (1, 2)} | {"criterion.avg_exp_score": ()}
    positives = {"nce_average.positive_set": torch.zeros((), dtype=torch.int32).expand(234_900, 32)}
    return {
        "epoch": 20,
        "model": model,
        "optimizer": _optimizer(model, "exp_avg", "exp_avg_sq"),
        "train_criterion": _constant("", memory) | positives,
    }


def _ctp(backbone):
    heads = {"temporal_conv.weight": (512, 512, 2, 1, 1), "temporal_conv.bias": (512,)}
    heads |= _linear("fc1", 512, 12_800) | _linear("pred_head", 64)
    return _mmcv(_prefixed("backbone.", _pyvrl(backbone)) | _constant("head.", heads), epoch=90)


def _tubelet_contrast(backbone):
    encoder = _pyvrl(backbone)
    head = _linear("0", 512) | _linear("2", 128)
    state_dict = _prefixed("backbone.", encoder) | _constant("key_encoder.", _shapes(encoder))
    state_dict |= _constant("fc.", head) | _constant("key_fc.", head)
    state_dict |= _constant("", {"queue": (128, 16384), "queue_ptr": (1,)})
    return _mmcv(state_dict, epoch=100)


def _tclr(backbone):
    head = _linear("fc1", 512) | _batchnorm("bn1", 512) | _batchnorm("bn2", 128) | {"fc2.weight": (128, 512)}
    state_dict = _prefixed("module.0.", backbone) | _constant("module.1.", head)
    return {
        "epoch": 400,
        "state_dict": state_dict,
        "optimizer": _optimizer(state_dict, "exp_avg", "exp_avg_sq"),
        "learning_rate": 1e-3,
        "amp_scaler": _grad_scaler(),
    }


def _gdt(backbone):
    model = _prefixed("video_network.base.", backbone)
    model |= _constant("audio_network.base.", _resnet9(classes=1000))
    model |= _constant("mlp_v.block_forward.", _gdt_mlp(256)) | _constant("mlp_a.block_forward.", _gdt_mlp(256))
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.01, momentum=0.9)
    after_warmup = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[60, 80])
    return {
        "model": model,
        "optimizer": _optimizer(model, "momentum_buffer"),
        "lr_scheduler": {"multiplier": 8.0, "total_epoch": 10, "after_scheduler": after_warmup, "last_epoch": 100},
        "epoch": 101,
        "args": argparse.Namespace(dataset="kinetics", batch_size=16, vid_base_arch="r2plus1d_18"),
    }


def _supervised(backbone):
    return OrderedDict(backbone | _constant("", _linear("fc", 400)))


def _videomae(backbone):
    tensors = {name: tensor for name, tensor in backbone.items() if name != "pos_embed"}  # its sine is computed
    width = len(backbone["norm.weight"]) // 2  # of the decoder
    decoder = {"mask_token": (1, 1, width), "encoder_to_decoder.weight": (width, 2 * width)}
    decoder |= {f"decoder.{name}": shape for name, shape in _vit_blocks(4, width).items()}
    decoder |= _linear("decoder.head", 3 * 2 * 16 * 16, width)
    model = _prefixed("encoder.", tensors) | _constant("", decoder)
    return {
        "model": model,
        "optimizer": _optimizer(model, "exp_avg", "exp_avg_sq"),
        "epoch": 799,
        "scaler": {"scale": 65536.0, "growth_factor": 2.0},
        "args": argparse.Namespace(model="pretrain_videomae_small_patch16_224", mask_ratio=0.9, mask_type="tube"),
    }


AUTHORS = {
    "selavi": _selavi,
    "moco": _moco,
    "video_moco": _video_moco,
    "pretext_contrast": _pretext_contrast,
    "rspnet": _rspnet,
    "avid_cma": _avid_cma,
    "ctp": _ctp,
    "tclr": _tclr,
    "gdt": _gdt,
    "supervised": _supervised,
    "tubelet_contrast": _tubelet_contrast,
    "videomae": _videomae,
}


# Names


def _prefixed(prefix, tensors):
    return OrderedDict((prefix + name, tensor) for name, tensor in tensors.items())


def _numbered(tensors):
    """Rename as in an ``nn.Sequential`` of torchvision's children: stem is 0, layerN is N."""
    return {name.replace("stem.", "0.", 1).removeprefix("layer"): tensor for name, tensor in tensors.items()}


def _pyvrl(tensors):
    """Rename as in the ``pyvrl`` package of microsoft/CtP."""
    for ours, theirs in [
        (r"^stem\.0\.", "stem.conv_s."),
        (r"^stem\.1\.", "stem.bn_s."),
        (r"^stem\.3\.", "stem.conv_t."),
        (r"^stem\.4\.", "stem.bn_t."),
        (r"\.conv(\d)\.0\.0\.", r".conv\1.conv_s."),
        (r"\.conv(\d)\.0\.1\.", r".conv\1.bn_s."),
        (r"\.conv(\d)\.0\.3\.", r".conv\1.conv_t."),
        (r"\.conv(\d)\.1\.", r".bn\1."),
        (r"\.downsample\.0\.", ".downsample.conv."),
        (r"\.downsample\.1\.", ".downsample_bn."),
    ]:
        tensors = {re.sub(ours, theirs, name): tensor for name, tensor in tensors.items()}
    return tensors


# Shapes, by name


def _shapes(tensors):
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _linear(name, outputs, inputs=512):
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _batchnorm(name, channels):
    vectors = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{tensor}": (channels,) for tensor in vectors} | {f"{name}.num_batches_tracked": ()}


def _vit_blocks(depth, width):
    """Return the shapes of a transformer's blocks and of the norm after them."""
    shapes = {}
    for block in (f"blocks.{number}" for number in range(depth)):
        attention = {f"{block}.attn.{name}": (width,) for name in ("q_bias", "v_bias")}
        attention |= {f"{block}.attn.qkv.weight": (3 * width, width)} | _linear(f"{block}.attn.proj", width, width)
        shapes |= _layernorm(f"{block}.norm1", width) | attention | _layernorm(f"{block}.norm2", width)
        shapes |= _linear(f"{block}.mlp.fc1", 4 * width, width) | _linear(f"{block}.mlp.fc2", width, 4 * width)
    return shapes | _layernorm("norm", width)


def _layernorm(name, width):
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _gdt_mlp(outputs):
    """Return the shapes of SeLaVi's and GDT's projection head."""
    return {"2.weight": (512, 512)} | _batchnorm("4", 512) | _linear("8", outputs)


def _resnet9(classes):
    """Return the shapes of SeLaVi's and GDT's audio network: a ResNet of four blocks on one-channel spectrograms."""
    with torch.device("meta"):
        network = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=classes or 1)
    shapes = _shapes(network.state_dict()) | {"conv1.weight": (64, 1, 7, 7)}
    return shapes if classes else {name: shape for name, shape in shapes.items() if not name.startswith("fc.")}


# Values


def _constant(prefix, shapes):
    """Return tensors of these shapes, each expanded from one number."""
    tensors = OrderedDict()
    for name, shape in shapes.items():
        counter = name.endswith(("num_batches_tracked", "queue_ptr"))
        tensors[prefix + name] = torch.tensor(1000 if counter else 0.5).expand(shape)
    return tensors


def _optimizer(tensors, *buffers):
    """Return the state dict of SGD or Adam, whose ``buffers`` have the parameters' shapes."""
    shapes = [shape for name, shape in _shapes(tensors).items() if name.endswith((".weight", ".bias"))]
    state = {i: _constant("", dict.fromkeys(buffers, shape)) for i, shape in enumerate(shapes)}
    return {"state": state, "param_groups": [{"lr": 0.01, "weight_decay": 1e-4, "params": list(state)}]}


def _mmcv(state_dict, epoch):
    meta = {"epoch": epoch, "iter": epoch * 1000, "mmcv_version": "1.4.0", "time": "Mon Nov 15 12:00:00 2021"}
    return {"meta": meta, "state_dict": state_dict, "optimizer": _optimizer(state_dict, "momentum_buffer")}


def _grad_scaler():
    """Return a GradScaler as PyTorch 1.9 pickles it: with a dictionary that refers to a function of its module."""
    grad_scaler = torch.cuda.amp.grad_scaler
    scaler = object.__new__(grad_scaler.GradScaler)
    scaler.__dict__ |= {
        "_enabled": False,  # an enabled one needs a GPU to be pickled
        "_init_scale": 65536.0,
        "_growth_factor": 2.0,
        "_per_optimizer_states": defaultdict(_refresh_per_optimizer_state),
    }
    return scaler


def _refresh_per_optimizer_state():
    """Stand in for the function of torch.cuda.amp.grad_scaler that later versions moved."""


@contextmanager
def _names_of_torch_1_9():
    """Let pickle find the function above under the name in old files."""
    module = torch.cuda.amp.grad_scaler
    _refresh_per_optimizer_state.__module__ = module.__name__
    module._refresh_per_optimizer_state = _refresh_per_optimizer_state
    try:
        yield
    finally:
        del module._refresh_per_optimizer_state
