"""Fixtures of the tests that train the toy."""

import pytest
from toy_training import run


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache of token ids for the tests of one file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENARM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def trained(toy, tmp_path_factory, cache):
    """The folder of an ARM trained once, and its result."""
    folder = tmp_path_factory.mktemp("trained")
    return folder / "arm", run(toy, folder)
