"""python -m trainer.evaluate: its help, and the errors of a wrong command line."""

import pytest

from trainer import evaluate


def said(capsys, *arguments):
    """Return stdout, stderr and status of a command line that ends the process."""
    with pytest.raises(SystemExit) as ended:
        evaluate.main(arguments)
    return *(" ".join(text.split()) for text in capsys.readouterr()), ended.value.code


def test_help_says_what_each_action_does_and_takes(capsys):
    whole, _, status = said(capsys, "--help")
    assert status == 0
    for action, words in evaluate.ACTIONS.items():
        assert f"{action} {words}" in whole
        assert f"python -m trainer.evaluate {action} --config " in whole
        of_one, _, status = said(capsys, action, "--help")
        assert status == 0 and words in of_one
        assert "--config FILE config.yaml of a run; results go beside it" in of_one
        assert ("--gpus N" in of_one) == (action == "predict")
        assert ("--resamples N resamples of the test videos" in of_one) == (action == "bootstrap")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "error: the following arguments are required: ACTION"),
        (["train"], "error: argument ACTION: invalid choice: 'train' (choose from "),
        (["score"], "python -m trainer.evaluate score: error: the following arguments are required: --config"),
    ],
)
def test_a_wrong_command_line_is_refused(capsys, arguments, problem):
    _, error, status = said(capsys, *arguments)
    assert status == 2 and problem in error
