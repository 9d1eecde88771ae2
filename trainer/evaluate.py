"""Predict with a fine-tuned network, and score predictions.

    python -m trainer.evaluate predict --config results/runs/ava/moco/seed0/config.yaml
    python -m trainer.evaluate score --config results/runs/ava/moco/seed0/config.yaml

predict reads model.pth beside the config and writes predictions.npz.
score reads that and what training left, and writes metrics.json, per_class.csv and, for AVA, detections.csv.gz in the
format of the official tools. It needs no GPU.
"""

from trainer.command import on_gpus, parse
from trainer.errors import told_plainly


def main():
    action, run, folder = parse(__doc__, "predict", "score")
    if action == "predict":
        from trainer.predict import predict  # PyTorch takes seconds to import, and scoring does without

        on_gpus("trainer.evaluate", predict, run, folder)
    else:
        from trainer.score import score

        with told_plainly():
            score(run, folder)


if __name__ == "__main__":
    main()
