"""A push to the DVC remote: every refusal as the real DVC prints it, and what a later push still sends."""

import shutil

import pytest
from dvc_project import dvc

from genarm.data.dvc import push
from genarm.data.dvc_remote import default_remote
from genarm.errors import PipelineError, Unreachable


def test_a_push_is_refused_with_the_way_out_and_goes_on_once_that_is_mended(project, tmp_path):
    dvc(project, "repro", "-s", "count")
    assert default_remote(project) is None
    with pytest.raises(PipelineError, match="names no default remote") as error:
        push(project)
    assert "dvc remote add -d" in error.value.hint
    dvc(project, "remote", "add", "-d", "store", "/proc/nowhere")
    assert default_remote(project) == "store"
    with pytest.raises(PipelineError, match="dvc push failed: .*/proc/nowhere") as error:
        push(project)
    assert "right to write" in error.value.hint and "genarm publish" in error.value.hint
    dvc(project, "remote", "modify", "store", "url", "https://bot:hunter2hunter2@127.0.0.1:9/x")
    lines: list[str] = []
    with pytest.raises(Unreachable, match="does not answer") as away:
        push(project, lines.append)
    assert lines and "hunter2" not in f"{away.value} {lines}"
    dvc(project, "remote", "modify", "store", "url", str(tmp_path / "remote"))
    assert "pushed" in push(project)
    sent = {path.name for path in (tmp_path / "remote" / "files").rglob("*") if path.is_file()}
    assert sent and (tmp_path / "remote" / "runs").is_dir(), "the run cache, too"
    shutil.rmtree(tmp_path / "remote")
    shutil.rmtree(project / ".dvc" / "cache" / "files" / "md5")
    with pytest.raises(PipelineError, match="the cache lacks files"):
        push(project)
