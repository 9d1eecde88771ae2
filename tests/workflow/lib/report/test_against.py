"""Two experiments: what differs between them, and which ones are refused."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.helpers.browser import needs_browser, overflow
from tests.helpers.made_up_results import FEW_SEEDS, ONE_SEED, made_up, read
from tests.helpers.paths import ROOT
from trainer.config import Run, score_fingerprint
from trainer.utils import settings
from trainer.utils.errors import InputError
from workflow.lib.report.against import class_differences, method_differences, read_other, statement
from workflow.scripts.compare import write_comparison


def other_results(tmp_path, seeds=(1, 2), without=(("scratch", 1), ("scratch", 2))):
    """Write another experiment of the same test set; its seed 2 lies 2 points above seed 1."""
    made_up(tmp_path / "other/runs", seeds=seeds, without=without)
    return tmp_path / "other"


def change(path, **arrays):
    with np.load(path) as saved:
        content = dict(saved) | arrays
    np.savez(path, **content)


def test_differences_of_the_methods_that_both_have(tmp_path):
    results = made_up(tmp_path / "ours")
    other = read_other(results, other_results(tmp_path))
    rows = method_differences(results, other).set_index("method")
    assert rows.index.tolist() == ["moco", "video_moco", "supervised"]
    assert rows.here.tolist() == pytest.approx([20, 25, 40]) and rows.there.tolist() == pytest.approx([21, 26, 41])
    assert rows.difference.tolist() == pytest.approx([-1] * 3)
    assert rows.seeds_here.tolist() == [1] * 3 and rows.seeds_there.tolist() == [2] * 3
    assert ((rows.low < -1) & (rows.high > -1)).all()
    assert rows.high.max() < 1.5  # on the same videos: those vary a method by 2 points, of which seeds see half a point
    assert "0 of 3 methods differ by more than chance. Not in both experiments: No pre-training." in statement(
        results, other
    )
    classes = class_differences(results, other).set_index(["method", "class"])
    assert classes.loc[("moco", "dance"), ["here", "there", "difference"]].tolist() == pytest.approx([20, 21, -1])
    assert "never seen" not in classes.index.get_level_values("class")


def test_a_change_of_all_methods_is_found(tmp_path):
    results = made_up(tmp_path / "ours")
    other = read_other(results, other_results(tmp_path, seeds=(3,), without=()))
    said = statement(results, other)
    assert said == (
        "On Charades, 4 of 4 methods differ by more than chance: No pre-training, MoCo, VideoMoCo and Supervised. "
        + ONE_SEED
    )


def test_seeds_of_both_experiments_vary_on_their_own(tmp_path):
    results = made_up(tmp_path / "ours", seeds=(1, 2))
    other = read_other(results, other_results(tmp_path, without=()))
    rows = method_differences(results, other)
    assert (rows.difference == 0).all() and (rows.high - rows.low > 2).all()  # the seeds lie 2 points apart
    assert ONE_SEED not in statement(results, other) and statement(results, other).endswith(FEW_SEEDS)


def test_changes_are_counted_by_corrected_p_values(tmp_path):
    results, rng = made_up(tmp_path / "ours"), np.random.default_rng(0)
    other = read_other(results, other_results(tmp_path, seeds=(1,), without=()))
    for arrays in other.bootstraps.values():
        arrays["mAP"] = arrays["mAP"] + rng.normal(0, 0.01, arrays["mAP"].shape)
        arrays["point"] = arrays["point"] + 0.022
    rows = method_differences(results, other)
    assert (rows.p < 0.05).all() and (rows.p_holm > 0.05).all()
    assert "0 of 4 methods differ" in statement(results, other)


def compared(tmp_path, name):
    """Write a comparison with results of that name; return the page and its other files."""
    results = made_up(tmp_path / "ours")
    names = {"csv": "a.csv", "classes": "b.csv", "markdown": "a.md", "latex": "a.tex", "html": "a.html"}
    names |= {suffix: f"a.{suffix}" for suffix in ("svg", "pdf", "png")}
    output = SimpleNamespace(**{key: str(tmp_path / name) for key, name in names.items()})
    other = read_other(results, other_results(tmp_path))
    write_comparison([(results, other)] * 2, ("mine", name), ROOT / "workflow/report/compare.html.j2", output)
    return tmp_path / "a.html", output


def test_the_files_of_a_comparison(tmp_path):
    page, output = compared(tmp_path, "/their/results")
    page = page.read_text()
    assert "There: /their/results" in page and page.count("<svg") == 1 and page.count("<table") == 4
    assert pd.read_csv(output.csv).columns.tolist()[:3] == ["dataset", "method", "here"]
    assert "| MoCo" in (tmp_path / "a.md").read_text() and (tmp_path / "a.tex").read_text().count("toprule") == 2


@needs_browser
@pytest.mark.parametrize("width", [1300, 420])
def test_a_comparison_does_not_scroll_sideways(tmp_path, width):
    page, _ = compared(tmp_path, "/scratch/projects/video_self_supervised_learning/a_colleague/results_of_another_seed")
    assert overflow(page, width) == 0


def test_another_test_set_is_refused_by_what_differs(tmp_path):
    results, folder = made_up(tmp_path / "ours"), other_results(tmp_path)
    run = folder / "runs/charades/moco/seed1"
    change(run / "bootstrap.npz", video=["a", "c"])
    with pytest.raises(InputError, match=r"seed1: lacks 1 test videos that .*/seed1 has: b; expected the same$"):
        read_other(results, folder)
    change(run / "bootstrap.npz", video=["a", "b"])
    classes = pd.read_csv(run / "per_class.csv")
    classes[::-1].to_csv(run / "per_class.csv", index=False)
    with pytest.raises(InputError, match=r"seed1: has its classes in another order than .*; score both with one label"):
        read_other(results, folder)
    classes.to_csv(run / "per_class.csv", index=False)
    last = folder / "runs/charades/supervised/seed2"
    classes = pd.read_csv(last / "per_class.csv")
    classes.loc[2, "positives"] = 7
    classes.to_csv(last / "per_class.csv", index=False)
    message = rf"^{last}: expected 5 annotated examples of 'dance', as .*/ours/.*/seed1 was tested on, got 7"
    with pytest.raises(InputError, match=message):
        read_other(results, folder)


def with_setting(run, section, **changes):
    """Let a run have been made with other settings."""
    content = yaml.safe_load((run / "config.yaml").read_text())
    content |= {section: content[section] | changes}
    (run / "config.yaml").write_text(yaml.safe_dump(content))
    made = score_fingerprint(settings.read(Run, content, "made up"))
    metrics = json.loads((run / "metrics.json").read_text())
    (run / "metrics.json").write_text(json.dumps(metrics | {"fingerprint": made}))
    change(run / "bootstrap.npz", fingerprint=made)


def test_a_run_that_is_left_of_other_settings_is_refused(tmp_path):
    results, folder = made_up(tmp_path / "ours"), other_results(tmp_path)
    runs = folder / "runs/charades/moco"
    with_setting(runs / "seed2", "machine", workers=3)
    read_other(results, folder)
    with_setting(runs / "seed2", "training", base_lr=0.5)
    message = rf"^{runs}/seed2: expected training: base_lr .*, as {runs}/seed1 has it, got 0.5; delete the run"
    with pytest.raises(InputError, match=message):
        read_other(results, folder)


def test_a_run_that_is_left_of_other_resamples_is_refused(tmp_path):
    results, other = made_up(tmp_path / "ours"), other_results(tmp_path)
    for path in other.glob("runs/charades/*/seed2/bootstrap.npz"):
        change(path, digest="4567", seed=7)
    with pytest.raises(
        InputError, match=r"seed[12]/bootstrap\.npz: made with other resamples than that of .*seed[12]; "
    ):
        read_other(results, other)


def test_another_protocol_is_refused(tmp_path):
    results, folder = made_up(tmp_path / "ours", "ava"), tmp_path / "other"
    made_up(folder / "runs", "ava")
    run, ours = folder / "runs/ava/moco/seed1", tmp_path / "ours/ava/moco/seed1"
    with_setting(run, "data", protocol="alphaction")
    with pytest.raises(InputError, match=rf"^{run}: expected mAP by protocol published, as {ours} has it, got alphact"):
        read_other(results, folder)


def test_scores_of_other_trainings_alone_are_refused(tmp_path):
    results, folder = made_up(tmp_path / "ours"), other_results(tmp_path)
    for path in folder.rglob("environment.json"):
        path.unlink()
    message = rf"^{folder}/.*/metrics.json: not of the config.yaml and environment.json beside it, .* in {folder};"
    with pytest.raises(InputError, match=message):
        read_other(results, folder)


def test_what_cannot_be_compared_is_refused(tmp_path):
    results, folder = made_up(tmp_path / "ours"), other_results(tmp_path)
    path = folder / "runs/charades/moco/seed1/bootstrap.npz"
    for each in folder.rglob("bootstrap.npz"):
        change(each, digest="4567", seed=7)
    theirs = r"set bootstrap: {resamples: 400, seed: 7} in the config of this experiment or, "
    with pytest.raises(InputError, match=rf"^{path}: made with other resamples; {theirs}"):
        read_other(results, folder)
    change(path, trained="another time")
    with pytest.raises(InputError, match=rf"^{path}: of another training"):
        read_other(results, folder)
    path.unlink()
    with pytest.raises(InputError, match=rf"^{path}: no such file; run snakemake where that experiment ran$"):
        read_other(results, folder)
    with pytest.raises(InputError, match=r"^/nowhere: expected scored runs of Charades in runs/charades/<method>"):
        read_other(results, "/nowhere")
    assert not read(tmp_path / "nothing").bootstraps
