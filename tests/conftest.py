"""Fixtures that every test may ask for."""

import os
from collections.abc import Iterator

import pytest
from toys import Toy, byte_tokenizer, toy_model


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    folder = tmp_path_factory.mktemp("toy-base")
    model, tokenizer = toy_model(), byte_tokenizer()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Toy(folder, model, tokenizer)


@pytest.fixture(autouse=True)
def environment_as_before() -> Iterator[None]:
    """What a test sets in the environment of the process, as every command does, ends with it."""
    before = dict(os.environ)
    yield
    if dict(os.environ) != before:
        os.environ.clear()
        os.environ.update(before)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first: the last of them then does not keep one worker busy while the other has none left."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
