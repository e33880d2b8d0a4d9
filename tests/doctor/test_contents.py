"""`genarm doctor --deep` on damaged files and cache objects: each is named, and its fix works as written."""

import json
import shutil

import decided_project
import pytest
from decided_project import flip, shell
from doctor_toys import one

from genarm.doctor import versioning
from genarm.system.layout import Layout

VERDICTS = "artifacts/verdicts/kind.jsonl"


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    return decided_project.make(tmp_path_factory.mktemp("decided")).root


@pytest.fixture
def root(origin, tmp_path):
    return shutil.copytree(origin, tmp_path / "project")


def object_of(root, path):
    return next(
        o for o in root.glob(".dvc/cache/files/md5/*/*") if o.read_bytes() == (root / path).read_bytes()
    )


def test_all_is_whole(root):
    assert one(versioning.contents(root)).detail.endswith(
        "recorded files and folders, and the cache, are whole"
    )


@pytest.mark.slow
@pytest.mark.parametrize("path", [VERDICTS, "artifacts/arms/kind/adapter_config.json", "data/a.jsonl"])
@pytest.mark.parametrize("checked_out", [True, False])
def test_a_damaged_object_is_named_and_replaced_from_the_workspace_or_made_again(root, path, checked_out):
    object = object_of(root, path)
    whole = object.read_bytes()
    flip(object)
    if not checked_out:
        (root / path).unlink() if path == VERDICTS else shutil.rmtree((root / path).parent)
    found = one(versioning.contents(root))
    assert found.status == "fail" and f"cache object {object.relative_to(root)} is damaged" in found.detail
    shell(root, found.fix)
    assert object.read_bytes() == whole == (root / path).read_bytes()
    assert one(versioning.contents(root)).status == "ok"


def test_a_damaged_file_is_named_with_both_hashes_and_an_object_of_an_earlier_run_with_what_removes_it(root):
    flip(root / VERDICTS)
    earlier = root / ".dvc/cache/files/md5/00/0123456789abcdef0123456789abcd"
    earlier.parent.mkdir()
    earlier.write_text("something else")
    file, object = versioning.contents(root)
    assert file.detail.startswith(f"{VERDICTS} is not what dvc.lock records of judge@kind: md5 ")
    assert file.fix.startswith(f"rm -f {VERDICTS} && dvc repro judge@kind")
    assert object.fix == f"rm -f {earlier.relative_to(root)}"


def test_while_a_stage_writes_nothing_is_compared(root):
    process = {"pid": 1, "cmd": "dvc repro"}
    locks = root / ".dvc" / "tmp" / "rwlock"
    locks.write_text(json.dumps({"write": {str(Layout(root).artifacts): process}, "read": {}}))
    assert "is writing" in one(versioning.contents(root)).detail


def test_a_damaged_record_is_told_by_the_quick_examination_too(root):
    (root / "dvc.lock").write_text("stages: [")
    for check in (versioning.contents, versioning.data_version):
        found = one(check(root))
        assert found.status == "fail" and "dvc.lock is not valid YAML" in found.detail and found.fix
