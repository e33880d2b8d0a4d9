"""A PARM of the toy that several tests look at."""

import pytest
from toy_parm_training import ENOUGH, run_parm


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache of token ids for the tests of one file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENARM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def trained(toy, tmp_path_factory, cache):
    """The folder of a PARM trained once, and its result."""
    folder = tmp_path_factory.mktemp("trained")
    return folder / "parm", run_parm(toy, folder, ENOUGH)
