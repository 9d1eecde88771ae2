"""The command that tells what is in a checkpoint and adds it to a table of methods."""

import re
from dataclasses import replace

import pytest
import torch
from torchvision.models import resnet50

from trainer.models.backbones import BACKBONES
from trainer.models.inspect import main
from workflow.demo.checkpoints import FILES, write_checkpoint

pytestmark = pytest.mark.long


def saved(content, path):
    torch.save(content, path)
    return path


NUMBERS = "a number {}, or three with commas between them for red, green and blue, got '{{}}'"


def backbone_of(layout):
    return "r2plus1d_18_tclr" if layout == "tclr" else "r2plus1d_18"


@pytest.mark.parametrize("layout", FILES)
def test_the_command_tells_what_fits(layout, hollow, tmp_path, capsys):
    write_checkpoint(layout, tmp_path / FILES[layout], hollow[backbone_of(layout)])
    main([str(tmp_path / FILES[layout])])
    *content, verdict = capsys.readouterr().out.splitlines()
    assert verdict.startswith(f"fits {backbone_of(layout)} whole: ")
    assert layout in re.split(", as |, ", verdict)
    assert any(line.startswith(f"  backbone {'module.' if 'module.' in verdict else ''}") for line in content)


def test_the_command_ends_with_1_where_nothing_fits(hollow, tmp_path, capsys):
    write_checkpoint("tclr", tmp_path / "file.pth", hollow["r2plus1d_18_tclr"])
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path / "file.pth"), "--backbone", "r2plus1d_18"])
    assert ended.value.code == 1
    told = capsys.readouterr()
    assert "  amp_scaler: GradScaler (not read)" in told.out
    assert "  not used module.1: 13 tensors, " in told.out
    assert "error: " in told.err
    assert "set the method's `backbone` to r2plus1d_18_tclr" in told.err


def test_the_command_names_the_layouts_that_there_are(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(tmp_path / "file.pth"), "--layout", "moko"])
    assert re.search("invalid choice: 'moko'.*auto.*moco", capsys.readouterr().err)


@pytest.mark.parametrize("name", BACKBONES)
def test_the_command_finds_the_backbone_that_fits(name, hollow, tmp_path, capsys, monkeypatch):
    record = replace(BACKBONES[name], std="0.229,0.224,0.225")
    monkeypatch.setitem(BACKBONES, name, record)
    main([str(saved(hollow[name] | {"fc.weight": torch.zeros(400, 512)}, tmp_path / "file.pth"))])
    *content, verdict = capsys.readouterr().out.splitlines()
    names = "vit names" if record.depth else "torchvision names, as supervised"
    assert verdict == f"fits {name} whole: {len(hollow[name])} tensors; {names}"
    assert "  not used fc: 1 tensor, 0.20 M numbers, first fc.weight [400, 512]" in content
    pixels = f"channel_order rgb, mean {record.mean}, std {record.std}"
    assert content[-1] == f"  row: backbone {name}, recipe {record.recipe}, layout auto, {pixels}"


def test_the_command_tells_what_an_incomplete_backbone_lacks(hollow, tmp_path, capsys):
    tensors = {name: tensor for name, tensor in hollow["mc3_18"].items() if name != "layer4.1.conv2.0.weight"}
    with pytest.raises(SystemExit):
        main([str(saved(tensors, tmp_path / "file.pth"))])
    told = "not a whole mc3_18 by layout auto (torchvision names): 119 of 120 tensors fit. Missing: layer4.1.conv2.0"
    assert told in capsys.readouterr().err


def test_a_relative_is_not_taken_for_half_a_backbone(tmp_path, capsys):
    with torch.device("meta"):
        shapes = resnet50().state_dict()
    path = saved({name: torch.tensor(0.5).expand(t.shape) for name, t in shapes.items()}, tmp_path / "file.pth")
    with pytest.raises(SystemExit):
        main([str(path)])
    message = capsys.readouterr().err
    assert re.search(f"error: {path}: does not look like (r2plus1d_18|r3d_18) by layout auto", message)
    assert "It is no other known backbone either" in message


def test_text_of_a_file_is_printed_without_control_characters(hollow, tmp_path, capsys):
    evil = "\x1b[2J\r\n"
    tensors = hollow["r3d_18"] | {f"head{evil}.weight": torch.ones(2)}
    main([str(saved({f"key{evil}": "text\x1b]0;title\x07", "state_dict": tensors}, tmp_path / "file.pth"))])
    out = capsys.readouterr().out
    assert all(line.isprintable() for line in out.splitlines())
    assert r"  'key\x1b[2J\r\n': 'text\x1b]0;title\x07'" in out
    assert r"not used 'head\x1b[2J\r\n': 1 tensor" in out


def test_contents_are_printed_in_short(hollow, tmp_path, capsys):
    content = {
        "net": hollow["r3d_18"],
        "args": "lr 0.1 " * 1000,
        "epoch": 1,
        "best": 0.5,
        "huge": 1 << 1000,
        ("a", 1): None,
        "steps": list(range(9)),
    }
    main([str(saved(content | {f"key{number}": 0 for number in range(1000)}, tmp_path / "file.pth"))])
    out = capsys.readouterr().out
    for line in ("epoch: 1", "best: 0.5", "huge: int", "tuple of 2: NoneType", "steps: list of 9", "and 957 more"):
        assert f"\n  {line}\n" in out
    assert max(map(len, out.splitlines())) < 300


def test_add_appends_a_row_and_tells_the_next_commands(hollow, tmp_path, capsys, monkeypatch):
    table = tmp_path / "my methods.tsv"
    monkeypatch.chdir(tmp_path)
    saved({"net": hollow["r3d_18"]}, tmp_path / "mine.pth")
    main(["mine.pth", "--add", "My method (r3d)", "--table", table.name])
    assert table.read_text() == (
        "method\tlabel\tpretraining\tcheckpoint\tsource\tlayout\tbackbone\trecipe\tbn_eps\tchannel_order\tmean\tstd\n"
        f"my_method_r3d\tMy method (r3d)\tself-supervised\t{tmp_path}/mine.pth\t\tauto\tr3d_18\tr2plus1d\t1e-5\trgb\t"
        "0.45\t0.225\n"
    )
    also = f"'local_methods_table={table}'"
    assert capsys.readouterr().out.splitlines()[-3:] == [
        f"added my_method_r3d to {table.name}; next:",
        f"  snakemake results/checkpoints/my_method_r3d.txt --config {also}",
        f"  snakemake results/ava_table.csv --config 'methods=[scratch, my_method_r3d]' {also}",
    ]


def test_add_to_the_default_table(hollow, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("trainer.models.inspect.LOCAL_TABLE", tmp_path / "local_methods.tsv")
    path = saved(hollow["r2plus1d_18_tclr"], tmp_path / "mine.pth")
    choices = ["--layout", "supervised", "--recipe", "long", "--pretraining", "supervised"]
    pixels = ["--bn-eps", "1e-3", "--channel-order", "bgr", "--mean", "0.1,0.2,0.3", "--std", "0.5"]
    main([str(path), "--add", "Mine", *choices, *pixels])
    *_, row = (tmp_path / "local_methods.tsv").read_text().splitlines()
    assert row == f"mine\tMine\tsupervised\t{path}\t\tsupervised\tr2plus1d_18_tclr\tlong\t1e-3\tbgr\t0.1,0.2,0.3\t0.5"
    lines = capsys.readouterr().out.splitlines()
    pixels = "channel_order bgr, mean 0.1,0.2,0.3, std 0.5, bn_eps 1e-3"
    assert f"  row: backbone r2plus1d_18_tclr, recipe long, layout supervised, {pixels}" in lines and "" not in lines
    assert lines[-3:] == [
        f"added mine to {tmp_path}/local_methods.tsv; recipe long must stand in config/local.yaml; next:",
        "  snakemake results/checkpoints/mine.txt",
        "  snakemake results/ava_table.csv --config 'methods=[mine]'",  # nothing else has its recipe
    ]


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--mean", "abc", NUMBERS.format("at least 0")),
        ("--mean", "-0.1", NUMBERS.format("at least 0")),
        ("--mean", "0.1,0.2", NUMBERS.format("at least 0")),
        ("--std", "0", NUMBERS.format("above 0")),
        ("--std", "0.2,0.2,0", NUMBERS.format("above 0")),
        ("--std", "inf", NUMBERS.format("above 0")),
        ("--bn-eps", "1e-3,1e-3,1e-3", "a number above 0, got '{}'"),
        ("--bn-eps", "0", "a number above 0, got '{}'"),
        ("--mean", "123.675,116.28,103.53", "numbers of pixels in [0, 1], got 123.675; divide mean and std by 255"),
    ],
)
def test_a_row_that_the_workflow_would_refuse_is_not_added(option, value, expected, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["mine.pth", "--add", "Mine", "--table", str(tmp_path / "table.tsv"), f"{option}={value}"])
    assert ended.value.code == 2
    assert f"argument {option}: expected {expected.format(value)}" in capsys.readouterr().err


def test_add_writes_nothing_for_a_file_that_does_not_fit(hollow, tmp_path, capsys):
    path = saved(hollow["r3d_18"], tmp_path / "mine.pth")
    with pytest.raises(SystemExit):
        main([str(path), "--backbone", "r2plus1d_18", "--add", "Mine", "--table", str(tmp_path / "table.tsv")])
    assert "It is a whole r3d_18" in capsys.readouterr().err
    assert not (tmp_path / "table.tsv").exists()
