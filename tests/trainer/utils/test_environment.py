"""What a run's environment tells."""

import json
import subprocess
from importlib.metadata import version

from trainer.utils import environment


def test_facts_are_ready_for_json_and_tell_what_can_change_a_number():
    facts = json.loads(json.dumps(environment.environment()))
    assert facts["packages"]["torch"] == version("torch")
    assert facts["cores"] >= 1 and facts["memory_gb"] >= 1 and facts["processor"]
    assert "gpus" not in facts


def test_packages_that_are_not_there_are_left_out():
    assert environment.installed(["numpy", "no-such-package"]) == {"numpy": version("numpy")}


def test_commit_of_a_checkout_and_of_none(monkeypatch, tmp_path):
    def git(*words):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=tmp_path, check=True)

    monkeypatch.setattr(environment, "__file__", str(tmp_path / "trainer/utils/environment.py"))
    (tmp_path / "trainer/utils").mkdir(parents=True)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert environment.commit() == "not a git checkout"
    (tmp_path / "file").write_text("1")
    for words in (["init", "-q"], ["add", "file"], ["commit", "-qm", "First"]):
        git(*words)
    assert environment.commit().startswith("commit ") and "local changes" not in environment.commit()
    (tmp_path / "file").write_text("2")
    assert environment.commit().endswith("with local changes")
    installed = tmp_path / ".venv/lib/trainer/utils"  # in the checkout of another project
    installed.mkdir(parents=True)
    monkeypatch.setattr(environment, "__file__", str(installed / "environment.py"))
    assert environment.commit() == "not a git checkout"
