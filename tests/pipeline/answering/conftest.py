"""One project, its servers, and the answers of the built-in engine."""

from collections.abc import Iterator

import pytest
import torch
from answering_toys import answers, lineup, make_project
from served_toys import running

from genarm.pipeline.project import Project
from genarm.serve.lineup import Lineup
from genarm.serve.service import Service
from genarm.types import Response


@pytest.fixture(scope="session")
def project(toy, tmp_path_factory) -> Project:
    torch.set_num_threads(1)
    return make_project(toy, tmp_path_factory.mktemp("answering"))


@pytest.fixture(scope="session")
def built_in(project) -> dict[str, list[Response]]:
    return {side: answers(project, side) for side in ("base", "challenger", "champion")}


@pytest.fixture(scope="session")
def served(project, toy) -> Lineup:
    return lineup(project, toy)


@pytest.fixture(scope="session")
def other(project, toy) -> Lineup:
    """The same on a decoder of its own, as every server has one: two threads must not share it."""
    return lineup(project, toy)


@pytest.fixture(scope="session")
def two_servers(project, toy) -> Iterator[list[str]]:
    first, second = (Service(lineup(project, toy)) for _ in range(2))
    with running(first) as one, running(second) as other:
        yield [f"{one}/v1", f"{other}/v1"]
