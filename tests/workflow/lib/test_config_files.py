"""Files of settings: found in the working directory or beside the code, and merged in their order."""

import pytest

from tests.helpers.paths import ROOT
from trainer.utils.errors import InputError
from workflow.lib.config_files import find, read_settings


def test_later_settings_replace_earlier_ones(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config/local.yaml").write_text("{results: mine, ava: {gpus: 2, seeds: [7]}}")
    settings = read_settings({"ava": {"gpus": 1}})
    assert settings["results"] == "mine"
    assert (settings["ava"]["gpus"], settings["ava"]["seeds"], settings["ava"]["fps"]) == (1, [7], 30)
    assert "r2plus1d" in settings["recipes"]
    assert read_settings({"local_config": None})["results"] == "results"


def test_settings_of_a_workflow_that_imports_this_one_replace_those_of_config_yaml(tmp_path, monkeypatch):
    """The working directory has that workflow's own config.yaml."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").write_text("samples: samples.tsv")
    (tmp_path / "config/local.yaml").write_text("{results: mine, ava: {gpus: 2}}")
    settings = read_settings({"ava": {"gpus": 1}}, importing={"results": "theirs", "data": "theirs"})
    assert (settings["data"], settings["results"]) == ("theirs", "mine")
    assert (settings["ava"]["gpus"], settings["ava"]["fps"]) == (1, 30)
    assert "samples" not in settings


def test_folders_are_written_as_targets_are():
    existing = {"ava_films": "./films/", "ava_cuts": "", "ava_frames": None}
    folders = {"results": "results/mine/", "data": ".//data", "existing": existing}
    settings = read_settings({"local_config": None} | folders)
    assert (settings["results"], settings["data"]) == ("results/mine", "data")
    assert [settings["existing"][key] for key in existing] == ["films", "", None]


@pytest.mark.parametrize("text", ["", "# results: mine\n", "null", "{}"])
def test_a_file_whose_settings_are_all_commented_out_changes_nothing(tmp_path, text):
    (tmp_path / "local.yaml").write_text(text)
    local = str(tmp_path / "local.yaml")
    assert read_settings({"local_config": local}) == read_settings({"local_config": None}) | {"local_config": local}


def test_local_settings_that_cannot_be_read_are_not_taken_for_missing(tmp_path):
    folder, link, digits = (tmp_path / name for name in ("folder.yaml", "link.yaml", "digits.yaml"))
    folder.mkdir()
    link.symlink_to("nowhere")
    digits.write_text("results: " + 5000 * "1")
    for path, problem in {folder: "cannot be read", link: "no such file", digits: "not YAML"}.items():
        with pytest.raises(InputError, match=f"^{path}: {problem}"):
            read_settings({"local_config": str(path)})
    assert read_settings({"local_config": str(tmp_path / "missing.yaml")})["results"] == "results"


def test_a_key_that_stands_twice_is_refused(tmp_path):
    path = tmp_path / "local.yaml"
    path.write_text("results: mine\nava: {gpus: 2}\ncharades: {gpus: 2}\nava:\n  fps: 30\n")
    with pytest.raises(InputError, match=rf'^{path}: not YAML: key ava stands twice in "<unicode string>", line 4'):
        read_settings({"local_config": str(path)})


def test_files_of_the_working_directory_come_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_settings({})["methods_table"] == str(ROOT / "config/methods.tsv")
    assert read_settings({"methods_table": "config/none.tsv"})["methods_table"] == "config/none.tsv"
    (tmp_path / "config").mkdir()
    (tmp_path / "config/methods.tsv").touch()
    assert find("config/methods.tsv") == "config/methods.tsv"
    (tmp_path / "config/config.yaml").write_text("results: [unfinished")
    with pytest.raises(InputError, match=r"^config/config.yaml: not YAML: while parsing a flow sequence"):
        read_settings({})
    (tmp_path / "config/config.yaml").write_text("results")
    with pytest.raises(InputError, match=r"^config/config.yaml: expected keys and values, got str"):
        read_settings({})
