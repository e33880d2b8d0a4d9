"""A store in a temporary folder."""

import pytest
from feedback_toys import Desk


@pytest.fixture
def desk(tmp_path):
    made = Desk(tmp_path)
    yield made
    made.store.close()
