"""Predict with a fine-tuned network, score predictions, and estimate how uncertain the score is.

    python -m trainer.evaluate predict --config results/runs/ava/moco/seed0/config.yaml
    python -m trainer.evaluate score --config results/runs/ava/moco/seed0/config.yaml
    python -m trainer.evaluate bootstrap --config results/runs/ava/moco/seed0/config.yaml [--resamples N] [--seed N]

predict reads model.pth beside the config and writes predictions.npz.
score reads that and the files of training, and writes metrics.json, per_class.csv and, for AVA, detections for the
official tools. It needs no GPU.
bootstrap reads predictions.npz and metrics.json and writes bootstrap.npz: mAP of resampled test videos, and intervals.
It needs no GPU.
"""

import sys

from trainer.cli import launch, parse
from trainer.utils.errors import exit_on_input_error


def main():
    if sys.argv[1:2] == ["bootstrap"]:  # it has its own options
        from trainer import bootstrap

        bootstrap.main(sys.argv[2:])
        return
    action, run, folder = parse("trainer.evaluate", __doc__, "predict", "score")
    if action == "predict":
        from trainer.predict import predict  # PyTorch takes seconds to import, and scoring does without

        launch("trainer.evaluate", predict, run, folder)
    else:
        from trainer.score import score

        with exit_on_input_error():
            score(run, folder)


if __name__ == "__main__":
    main()
