"""A site with etags, and a project under git and DVC whose dimensions name their sources."""

import json
import shutil

import pytest
from dvc_project import dvc, git
from etag_server import site

from genarm.config import Params


@pytest.fixture
def web():
    with site() as served:
        yield served


@pytest.fixture(scope="session")
def empty_project(tmp_path_factory):
    root = tmp_path_factory.mktemp("intake")
    git(root, "init", "--quiet")
    dvc(root, "init", "--quiet")
    (root / ".gitignore").write_text("/.cache/\n/data\n")
    return root


@pytest.fixture
def project(empty_project, tmp_path):
    return shutil.copytree(empty_project, tmp_path / "project")


@pytest.fixture
def rows():
    """Rows as a file: `rows(range(40))`; other words for some prompts by number."""

    def made(numbers, flipped=(), **words) -> bytes:
        lines = []
        for number in numbers:
            chosen, rejected = f"yes {number} {words.get('more', '')}".strip(), f"no {number}"
            if number in flipped:
                chosen, rejected = rejected, chosen
            lines.append(json.dumps({"prompt": f"say {number}", "chosen": chosen, "rejected": rejected}))
        return ("\n".join(lines) + "\n").encode() if lines else b""

    return made


@pytest.fixture
def params(toy):
    """Parameters of dimensions by name: their files, and the source, if they have one."""

    def made(data=None, feedback=None, **dimensions) -> Params:
        return Params.model_validate(
            {
                "base": {"model": str(toy.folder), "dtype": "float32"},
                "dimensions": {
                    name: {
                        "data": {"files": files} | ({"from": source} if source else {}),
                        "judge": "length",
                        "weight": 1,
                    }
                    for name, (files, source) in dimensions.items()
                },
                "data": data or {},
                "feedback": feedback or {},
            }
        )

    return made
