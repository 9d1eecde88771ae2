"""Predict with a fine-tuned network, score predictions, and estimate how uncertain the score is.

    python -m trainer.evaluate predict --config results/runs/ava/moco/seed0/config.yaml
    python -m trainer.evaluate score --config results/runs/ava/moco/seed0/config.yaml
    python -m trainer.evaluate bootstrap --config results/runs/ava/moco/seed0/config.yaml

Each action reads what the one before it wrote beside the config; predict reads model.pth, which trainer.train wrote.
`python -m trainer.evaluate predict --help` shows the options of an action.
"""

from trainer import bootstrap
from trainer.cli import add_config, add_gpus, command_parser, launch, read_run
from trainer.score import score
from trainer.utils.errors import exit_on_input_error

ACTIONS = {
    "predict": "Write predictions.npz: predict the test set with the weights of model.pth.",
    "score": "Write metrics.json, per_class.csv and, for AVA, detections for the official tools. It needs no GPU.",
    "bootstrap": "Write bootstrap.npz: mAP of resampled test videos, and its intervals. It needs no GPU.",
}


def main(arguments=None):
    parser = command_parser("trainer.evaluate", __doc__)
    actions = parser.add_subparsers(title="actions", dest="action", required=True, metavar="ACTION")
    for name, words in ACTIONS.items():
        add_config(actions.add_parser(name, help=words, description=words))
    add_gpus(actions.choices["predict"])
    bootstrap.add_options(actions.choices["bootstrap"])
    options = parser.parse_args(arguments)
    run, folder = read_run(options)
    if options.action == "predict":
        from trainer.predict import predict  # PyTorch takes seconds to import, and the others do without

        launch("trainer.evaluate", predict, run, folder)
        return
    with exit_on_input_error():
        if options.action == "score":
            score(run, folder)
        else:
            bootstrap.bootstrap(run, folder, bootstrap.read_options(options))


if __name__ == "__main__":
    main()
