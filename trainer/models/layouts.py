"""Where each published checkpoint keeps the backbone, and by which names; without PyTorch, as its import is slow."""

from dataclasses import dataclass, replace

from trainer.utils.text import quoted

# How authors name the tensors of a backbone: the first pattern that matches a name renames it. Names begin after a
# layout's prefix. No pattern removes a dot, so a name with more dots than any of the backbone's is not tried. "vit" is
# of transformers, whose files vit_files.py has unified; fine-tuned ones have the last norm after the mean over tokens.
SCHEMES = {
    "torchvision": (),  # the backbone's own names
    # nn.Sequential(*network.children())
    "numbered": (
        (r"^0\.", "stem."),
        (r"^([1-4])\.", r"layer\1."),
    ),
    # the pyvrl package of microsoft/CtP and Tubelet-Contrast: s for the spatial half, t for the temporal one
    "pyvrl": (
        (r"^stem\.conv_s\.", "stem.0."),
        (r"^stem\.bn_s\.", "stem.1."),
        (r"^stem\.conv_t\.", "stem.3."),
        (r"^stem\.bn_t\.", "stem.4."),
        (r"\.(conv[12])\.conv_s\.", r".\1.0.0."),
        (r"\.(conv[12])\.bn_s\.", r".\1.0.1."),
        (r"\.(conv[12])\.conv_t\.", r".\1.0.3."),
        (r"\.bn([12])\.", r".conv\1.1."),
        (r"\.downsample\.conv\.", ".downsample.0."),
        (r"\.downsample_bn\.", ".downsample.1."),
    ),
    "vit": ((r"^fc_norm\.", "norm."),),
}


@dataclass(frozen=True)
class Layout:
    """Where a file keeps the backbone's tensors."""

    entry: str  # of the saved dictionary, "" where the tensors are its entries
    prefix: str  # of their names; DataParallel may have put "module." before it
    scheme: str  # of the rest of their names
    with_positions: bool = False  # the file holds the position table, as it is not VideoMAE's

    def __str__(self):
        parts = [f"{kind} {quoted(text)}" for kind, text in (("entry", self.entry), ("prefix", self.prefix)) if text]
        return ", ".join([*parts, f"{self.scheme} names"])


LAYOUTS = {
    "selavi": Layout("model", "video_network.base.", "torchvision"),
    "moco": Layout("state_dict", "encoder_q.", "torchvision"),
    "video_moco": Layout("state_dict", "encoder_q.", "torchvision"),
    "pretext_contrast": Layout("", "base_network.", "numbered"),
    "rspnet": Layout("model", "encoder_q.encoder.base_network.", "numbered"),
    "avid_cma": Layout("model", "video_model.", "torchvision"),
    "ctp": Layout("state_dict", "backbone.", "pyvrl"),
    "tclr": Layout("state_dict", "0.", "torchvision"),
    "gdt": Layout("model", "video_network.base.", "torchvision"),
    "supervised": Layout("", "", "torchvision"),
    "tubelet_contrast": Layout("state_dict", "backbone.", "pyvrl"),
    "videomae": Layout("model", "encoder.", "vit"),
    "mgmae": Layout("model", "encoder.", "vit"),
    "sigma": Layout("model", "encoder.", "vit"),
    "smile": Layout("model", "encoder.", "vit"),
    "mme": Layout("model", "encoder.", "vit"),
    "everest": Layout("model", "encoder.", "vit"),
    "umt": Layout("model", "encoder.", "vit"),
    "mvd": Layout("model", "", "vit", with_positions=True),
    "vjepa": Layout("target_encoder", "backbone.", "vit", with_positions=True),
    "deepspeed": Layout("module", "", "vit"),  # VideoMAE's and MME's fine-tuned files
    "videomae_huggingface": Layout("", "videomae.", "vit"),
}
WRAPPERS = ("", "module.", "_orig_mod.", "module._orig_mod.")  # of DataParallel and torch.compile, before a prefix


def as_published(place: Layout) -> str:
    """Return ", as NAMES" if published checkpoints keep the backbone at that place, else nothing."""
    place = replace(place, prefix=place.prefix.removeprefix("module.").removeprefix("_orig_mod."))
    names = [name for name, layout in LAYOUTS.items() if layout == place]
    return f", as {', '.join(names)}" if names else ""
