"""A secret within the address of a source: what Prefect may keep of it, and how the task finds the rest."""

import os

import pytest
from genarm.flows import secret_source
from genarm.flows.secret_source import keep_in_memory, storable, whole
from genarm.flows.version_data import version_data
from prefect_shell import running_server, start

from genarm.errors import DataError

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    "source",
    [
        "data/pa?t-[0-9].jsonl", "seed", "hf://team/birds@v1", "hf://team/birds@v1/folder", "s3://bucket/a@2.jsonl",
        "https://example.org/a.jsonl", "env://DATA", "secret://data",
    ],
)  # fmt: skip
def test_a_source_without_a_secret_is_kept_as_it_is(source):
    assert storable(source) == keep_in_memory(source) == source


def test_a_signature_stays_in_memory():
    source = f"https://bucket.example.org/a.jsonl?X-Amz-Signature={SECRET}"
    shown = keep_in_memory(source)
    assert shown == storable(source) == "https://bucket.example.org/a.jsonl"
    assert whole(shown) == source


def test_what_may_be_part_of_a_password_is_not_stored_but_fetched():
    source = "http://127.0.0.1:8000/a@b.jsonl"
    assert whole(keep_in_memory(source)) == source


@pytest.mark.parametrize(
    "source",
    [
        f"http://me:{SECRET}@example.org/a.jsonl", f"HTTPS://{SECRET}@example.org/a.jsonl?x=1",
        f"http://me:pass/{SECRET}@example.org/a.jsonl", f"s3://me:p@{SECRET}@bucket/a.jsonl",
    ],
)  # fmt: skip
def test_a_password_is_refused_before_a_flow_is_called(source):
    with pytest.raises(DataError, match="carries a user name or password") as caught:
        keep_in_memory(source)
    assert SECRET not in str(caught.value) and "me:" not in str(caught.value)


def test_a_variable_is_read_where_the_flow_runs(monkeypatch):
    monkeypatch.setenv("GENARM_TEST_DATA", f"https://example.org/a.jsonl?sig={SECRET}")
    assert whole("env://GENARM_TEST_DATA").endswith(SECRET)
    monkeypatch.delenv("GENARM_TEST_DATA")
    with pytest.raises(DataError, match="no such environment variable"):
        whole("env://GENARM_TEST_DATA")


def test_a_path_stands_for_itself():
    assert whole("seed/?.jsonl") == "seed/?.jsonl" and not secret_source._whole.get("seed/?.jsonl")


def test_a_parameter_with_a_signature_is_refused_and_the_way_out_named():
    """Whoever calls the flow itself, from a deployment or from Python, has given it to Prefect already."""
    with pytest.raises(DataError, match="Prefect keeps the parameters") as caught:
        version_data.fn(f"https://example.org/a.jsonl?sig={SECRET}")
    assert "secret://NAME" in caught.value.hint and SECRET not in str(caught.value)


@pytest.mark.slow
def test_a_secret_block_of_the_server_is_read(tmp_path):
    code = (
        "from prefect.blocks.system import Secret; from genarm.flows.secret_source import whole\n"
        "Secret(value='https://example.org/a.jsonl?sig=1').save('data-address')\n"
        "print(whole('secret://data-address'))\n"
        "whole('secret://absent')"
    )
    with running_server(tmp_path) as environment:
        printed, _ = start(environment, tmp_path, "-c", code).communicate(timeout=120)
    assert "https://example.org/a.jsonl?sig=1" in printed
    assert "no such Secret block on the Prefect server" in printed


def test_a_source_whose_name_is_not_utf8_is_refused_before_the_flow_starts(tmp_path):
    with pytest.raises(DataError, match=r"caf\\xe9.jsonl is not UTF-8; hint: rename"):
        storable(os.fsdecode(bytes(tmp_path / "caf") + b"\xe9.jsonl"))
    storable("hf://owner/name@v1.0/été")
