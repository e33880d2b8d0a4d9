"""A data set of the hub, from a server that answers as the hub does."""

import pytest

from genarm.data.sources import gather_hub
from genarm.errors import DataError, Unreachable


def test_a_hub_data_set_comes_as_it_is_from_its_revision(web, tmp_path, monkeypatch):
    folder, address = web
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    files = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", files)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    (folder / "part").mkdir()
    (folder / "part" / "a.jsonl").write_text('{"a": 1}\n')
    whole, inner = tmp_path / "whole", tmp_path / "inner"
    gather_hub("hf://team/birds@v1", whole)
    gather_hub("hf://team/birds@v1/part", inner)
    assert (whole / "part" / "a.jsonl").read_text() == (inner / "a.jsonl").read_text() == '{"a": 1}\n'
    for source, says in (
        ("hf://team/birds@v2", "no revision 'v2'"),
        ("hf://team/fish@v1", "no data set 'team/fish'"),
        ("hf://team/birds@v1/absent", "has no data files"),
    ):
        with pytest.raises(DataError, match=says):
            gather_hub(source, tmp_path / "never")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(Unreachable, match="does not answer"):
        gather_hub("hf://team/birds@v3", tmp_path / "never")
