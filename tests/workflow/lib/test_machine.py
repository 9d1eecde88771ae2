"""What a machine has, and what is told about what it lacks: GPUs, driver, disk, locks, sources."""

import errno
import fcntl
import os
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import yaml

from tests.helpers.config import published
from trainer.models.backbones import BACKBONES, build_backbone
from trainer.utils.errors import InputError
from workflow import doctor
from workflow.lib import machine
from workflow.lib.experiment import Experiment
from workflow.lib.machine_warnings import NO_GPU, check_machine, machine_warnings, source_warnings
from workflow.lib.remaining import GB, WEIGHT_BYTES, remaining


@pytest.fixture
def gpus(tmp_path, monkeypatch):
    """Yield a function that puts a stand-in for nvidia-smi on the path: it lists GPUs with a driver."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def install(count, driver="590.48.01"):
        program = tmp_path / "nvidia-smi"
        program.write_text(
            "#!/bin/sh\n" + f"echo 'NVIDIA RTX 2080 Ti, 11264, {driver}'\n" * count + f"exit {not count:d}"
        )
        program.chmod(0o755)
        machine.visible_gpus.cache_clear()

    install(0)
    yield install
    machine.visible_gpus.cache_clear()


def experiment_in(folder, **changes):
    return Experiment(published(data=str(folder / "data"), results=str(folder / "results"), **changes))


def test_visible_gpus(gpus, monkeypatch):
    assert machine.visible_gpus() == []
    gpus(4)
    assert machine.visible_gpus() == [machine.Gpu("NVIDIA RTX 2080 Ti", 11, "590.48.01")] * 4
    for value, count in {"2,3": 2, "": 0, "0,-1,1": 1, "NoDevFiles": 0}.items():
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
        machine.visible_gpus.cache_clear()
        assert len(machine.visible_gpus()) == count, value


def test_a_missing_gpu_and_an_old_driver_are_told_where_a_run_wants_them(gpus, tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "free_bytes", lambda _: 1e15)
    monkeypatch.setattr(machine, "torch_cuda", lambda: "13.2")
    experiment = experiment_in(tmp_path)
    assert machine_warnings(experiment) == [NO_GPU]
    assert machine_warnings(experiment, jobs_run_here=False) == []
    assert machine_warnings(experiment_in(tmp_path, machine={"device": "cpu"})) == []
    gpus(1, "570.124.06")
    [line] = machine_warnings(experiment)
    assert line.startswith(
        "driver 570.124.06 is too old for the installed PyTorch (CUDA 13.2), which needs 580 or newer"
    )
    gpus(1, "580.65.06")
    assert machine_warnings(experiment) == []


def test_strict_makes_warnings_errors(gpus, tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "free_bytes", lambda _: 1e15)
    assert check_machine(experiment_in(tmp_path), jobs_run_here=True) == [NO_GPU]
    with pytest.raises(InputError, match=r"^no GPU is visible, .* It is an error as config sets `strict`$"):
        check_machine(experiment_in(tmp_path, strict=True), jobs_run_here=True)


def test_the_sizes_of_weights_are_those_of_the_networks():
    assert list(WEIGHT_BYTES) == list(BACKBONES)
    for name, size in WEIGHT_BYTES.items():
        with torch.device("meta"):
            backbone = build_backbone(name)
        assert sum(tensor.nbytes for tensor in backbone.state_dict().values()) == pytest.approx(size, 0.01)


def test_a_backbone_of_unknown_size_counts_as_the_largest(tmp_path, monkeypatch):
    known = remaining(experiment_in(tmp_path)).disk[str(tmp_path / "results")]
    monkeypatch.delitem(WEIGHT_BYTES, "r2plus1d_18")
    assert remaining(experiment_in(tmp_path)).disk[str(tmp_path / "results")] > known


def test_disk_for_what_is_still_to_be_made(tmp_path, monkeypatch):
    experiment = experiment_in(tmp_path)
    cuts = 157 * 901 / 1801  # GB, if no film were longer than its window's end
    assert remaining(experiment).disk[str(tmp_path / "data")] / GB == pytest.approx(157 + cuts + 392 + 76)
    films = list(experiment.films)
    archives = tmp_path / experiment.frames_folder
    archives.mkdir(parents=True)
    for video in films[:-1]:
        (archives / f"{video}.tar").touch()
    left = remaining(experiment)
    assert left.disk[str(tmp_path / "data")] / GB == pytest.approx((157 + cuts + 392) / 299 + 76)
    assert left.runs == 22
    assert left.disk[str(tmp_path / "results")] / GB == pytest.approx(22 * 0.125)
    transformers = experiment_in(tmp_path, methods=["scratch", "scratch_vit_b"])
    assert remaining(transformers).disk[str(tmp_path / "results")] / GB == pytest.approx(2 * (0.125 + 0.35))

    monkeypatch.setattr(machine, "free_bytes", lambda _: 50 * GB)
    [line] = machine_warnings(experiment, jobs_run_here=False)
    assert line.startswith(f"{tmp_path}/data and {tmp_path}/results: up to 81 GB still to be made, 50 GB free; make")


def test_disk_without_what_is_deleted_or_exists(tmp_path):
    def needed(**changes):
        two = experiment_in(tmp_path, datasets=["ava"], ava={"films": ["a.mkv", "b.mkv"]}, **changes)
        return remaining(two).disk[str(tmp_path / "data")] / GB * 299 / 2

    cuts = 157 * 901 / 1801
    assert needed() == pytest.approx(157 + cuts + 392)
    assert needed(delete_after_use=["films"]) == pytest.approx(cuts + 392)
    assert needed(delete_after_use=["cuts"]) == pytest.approx(157 + 392)
    assert needed(existing={"ava_films": "films"}) == pytest.approx(cuts + 392)
    assert needed(existing={"ava_cuts": "cuts"}) == pytest.approx(392)


def test_disk_without_what_the_shared_cache_holds(tmp_path):
    cache = tmp_path / "cache"
    experiment = experiment_in(tmp_path, shared_cache=str(cache), ava={"films": ["a.mkv", "b.mkv", "c.mkv", "d.mkv"]})
    made = [f"{experiment.frames_folder}/a.tar", experiment.cut("b"), experiment.film("c"), experiment.charades_tar]
    for path in made:
        file = cache / Path(path).relative_to(tmp_path / "data")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    cut = 157 * 901 / 1801
    assert remaining(experiment).disk[str(cache)] / GB * 299 == pytest.approx(3 * 392 + 2 * cut + 157)


def test_frames_of_own_films_are_not_in_the_shared_cache(tmp_path):
    cache, films = tmp_path / "cache", {"films": ["a.mkv"]}
    own = {"ava_films": str(tmp_path / "films")}
    experiment = experiment_in(tmp_path, shared_cache=str(cache), ava=films, existing=own)
    cached = cache / Path(experiment.frames_folder).relative_to(tmp_path / "data") / "a.tar"
    cached.parent.mkdir(parents=True)
    cached.touch()
    disk = remaining(experiment).disk
    assert disk[str(tmp_path / "data")] / GB * 299 == pytest.approx(392 + 157 * 901 / 1801)


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    assert machine.lock_problem(tmp_path / "results") is None
    monkeypatch.setattr(fcntl, "lockf", refuse)
    problem = machine.lock_problem(tmp_path / "results")
    assert problem.startswith(f"{tmp_path}: POSIX locks do not work there (No locks available); name a folder")
    monkeypatch.setattr(machine, "free_bytes", lambda _: 1e15)
    assert machine_warnings(experiment_in(tmp_path), jobs_run_here=False) == [problem]


@pytest.fixture
def page(tmp_path, monkeypatch, capsys):
    """Return a function that runs the doctor on an experiment of ``tmp_path``; it returns page, error and status."""
    path, folders = tmp_path / "mine.yaml", {"data": str(tmp_path / "data"), "results": str(tmp_path / "results")}
    path.write_text(yaml.safe_dump({**folders, "local_config": None, "local_methods_table": None}))

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["doctor", "--configfile", str(path), *map(str, arguments)])
        status = 0
        try:
            doctor.main()
        except SystemExit as end:
            status = end.code
        return *capsys.readouterr(), status

    return run


def test_the_page_of_the_doctor(gpus, page):
    gpus(2)
    whole, error, status = page()
    assert (error, status) == ("", 0)
    for words in (
        "NVIDIA RTX 2080 Ti, 11 GB",
        "AVA, r2plus1d: 11 to train on 2 GPUs, 16.0 h each (reported by the authors on 4 GTX 1080 Ti)",
        "Charades, r2plus1d: 11 to train on one GPU, 8.0 h each (reported by the authors on an A6000)",
        "all: 224 h of training on this machine",  # 11 x 16 h, then 6 x 8 h for two at a time
        "GB still to be made",
        "snakemake 9",
    ):
        assert words in whole
    assert "on 4 GPUs, 8.0 h each" in page("--cluster")[0]


def test_the_doctor_takes_no_settings(page):
    _, error, status = page("--config", "methods=[moco]")
    assert status == 2 and "unrecognized arguments: --config" in error


def test_the_doctor_shows_the_machine_also_if_the_experiment_is_wrong(gpus, page, tmp_path):
    gpus(2)
    (tmp_path / "transformers.yaml").write_text("methods: [videomae_vit_s]\n")
    shown, error, status = page(tmp_path / "transformers.yaml")
    assert "NVIDIA RTX 2080 Ti, 11 GB" in shown and "runs" not in shown
    assert error.startswith("error: config: methods: videomae_vit_s: no such row in ") and error.count("\n") == 1
    assert status == 1


def test_hours_that_the_step_benchmark_predicts(tmp_path):
    summary = tmp_path / "summary.txt"
    assert "`make gpu`" in doctor.measured_hours(summary)[0]
    table = ["hours on this device, training + prediction; 2 and 4: of so many of them", "tf32  8.0 + 0.5  4.2"]
    summary.write_text("\n".join(['{"gpus": ["one"]}', "", "=== train_step", *table, "", "=== feed_gpu", "1"]))
    assert doctor.measured_hours(summary) == table


def test_sources_that_do_not_answer(tmp_path):
    (tmp_path / "val.csv").touch()
    (tmp_path / "a.mkv").touch()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        web = f"http://127.0.0.1:{server.server_port}"
        rows = [f"ava_films\t{web}/{{film}}\t{{film}}", f"val\t{web}/val.csv\tval.csv", f"train\t{web}/gone\ttrain.csv"]
        rows += ["supervised\thttp://127.0.0.1:9/x.pth\tx.pth", "checkpoints\tfolder/x.zip\tx.zip"]
        header = "source\turl\tfile\tbytes\tsha256\tabout"
        (tmp_path / "sources.tsv").write_text("\n".join([header, *(f"{row}\t\t\t" for row in rows)]))
        sources = str(tmp_path / "sources.tsv")
        lines = source_warnings(experiment_in(tmp_path, ava={"films": ["a.mkv"]}, sources_table=sources))
        server.shutdown()
    assert lines == [f"{web}/gone: HTTP status 404", "http://127.0.0.1:9/x.pth: does not answer (ConnectionError)"]
