"""What training starts from: champion, parameters and data decide, and DVC is told when it changes."""

import dataclasses

import pytest
from toy_params import dimension

from genarm.errors import ConfigError
from genarm.models.arm import CONFIG, WEIGHTS, write_card
from genarm.pipeline.project import Project
from genarm.pipeline.warm_start import fetch_start, note_starts, read_starts
from genarm.system.files import read_json, write_json, write_text
from genarm.types import ArmCard, Champion

PARAMS = {
    "base": {"model": "nowhere"},
    "dimensions": {"loud": dimension(warm_start="champion"), "kind": dimension()},
}


@pytest.fixture
def project(tmp_path):
    """Two dimensions, of which `loud` is trained on from its champion; the data version is `new`."""
    write_json(tmp_path / "params.yaml", PARAMS)
    write_text(tmp_path / "data.dvc", "outs: [{md5: new.dir}]\n")
    return Project(tmp_path)


def test_it_follows_champion_and_data(project, tmp_path):
    """The version in use, unless it has seen these data: then what that version itself started from."""
    folder = tmp_path / "fetched"
    folder.mkdir()
    (folder / CONFIG).write_text("{}")
    (folder / WEIGHTS).write_bytes(b"weights")
    fetched = []

    def fetch(dimension, version, into):
        fetched.append((dimension, version.version, into))
        return folder

    version = Champion(3, "m-3", "a" * 64, 1.0)
    older = dataclasses.replace(version, version=1)
    card = ArmCard("loud", "b", None, "w", "b", None, "t", "", 0.1, 1.0, "p", "old", None, warm_start=older)
    write_card(folder, card)
    layout = project.layout
    write_json(layout.champions, {"loud": None, "kind": version})
    assert note_starts(project, fetch) == [], "no champion yet: anew; and kind asks for none"
    assert fetch_start(project, "loud", fetch) is None
    write_json(layout.champions, {"loud": version, "kind": version})
    assert note_starts(project, fetch) == ["loud"]
    assert read_starts(project) == {"loud": version, "kind": None}
    assert fetch_start(project, "loud", fetch) == (folder, version)
    assert fetch_start(project, "kind", fetch) is None
    write_card(folder, dataclasses.replace(card, data_md5="new"))
    assert note_starts(project, fetch) == ["loud"]
    assert read_json(layout.starts, dict[str, Champion | None])["loud"] == older
    assert note_starts(project, fetch) == [], "noted once"
    assert set(fetched) == {("loud", 3, layout.start_arm("loud"))}


def test_an_unknown_dimension_is_refused(project):
    with pytest.raises(ConfigError, match="did you mean 'loud'"):
        fetch_start(project, "lound", lambda *_: pytest.fail("nothing to fetch"))
