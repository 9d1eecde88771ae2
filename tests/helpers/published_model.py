"""The published model by formulas, and the numbers that the reference implementation computed with it."""

from dataclasses import replace

import numpy as np

from tests.helpers import formulas
from tests.helpers.paths import FIXTURES
from tests.helpers.small_run import training
from trainer import config

EXPECTED = FIXTURES / "model"
CLIP = config.Clip(num_frames=32, stride=2, crop=112, short_side_range=(256, 320), test_clips=1, test_crops=1)


def run_of(dataset, backbone="r2plus1d_18", **clip):
    """Return a run whose clips have the published size unless ``clip`` says otherwise; its files do not exist."""
    return config.Run(
        dataset=dataset,
        method="published",
        seed=0,
        model=config.Model(backbone, checkpoint=None, layout="auto", bn_eps=1e-5, dropout=0.5),
        clip=replace(CLIP, **clip),
        normalization=config.Normalization("rgb", 0.45, 0.225),
        data=config.Data(*["none.csv"] * 6),
        training=training(),
        machine=config.RunMachine("cpu", workers=0, threads=1, checkpoint_minutes=10.0),
    )


def load_formula_weights(model):
    """Fill a network with the weights of the formulas."""
    model.backbone.load_state_dict(formulas.weights(model.backbone.state_dict()))
    named = {f"projection.{name}": tensor for name, tensor in model.head.projection.state_dict().items()}
    values = formulas.weights(named).items()
    model.head.projection.load_state_dict({name.removeprefix("projection."): value for name, value in values})


def assert_close(actual, expected, tolerance=1e-4):
    """Compare relative to the largest value: outputs near zero are sums of large terms."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() < tolerance * np.abs(expected).max()


def described(tensor, count):
    """Return the numbers by which the expected values describe a large tensor."""
    flat = tensor.double().flatten()
    return [
        flat.mean(),
        flat.std(correction=0),
        flat.abs().max(),
        *flat[[i * flat.numel() // count for i in range(count)]],
    ]
