"""What sources tell of themselves: a web server with etags, files, a store, the hub; and what they refuse."""

import os

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from genarm.config import SourceConfig
from genarm.data.sources import hub_commit
from genarm.errors import DataError, Unreachable
from genarm.intake.origins import ask, fetch


def test_a_page_is_asked_without_its_bytes_and_its_etag_tells(web, tmp_path):
    web.files["a.jsonl"] = b'{"a": 1}\n'
    url = f"{web.address}/a.jsonl"
    first = ask(url, tmp_path)
    assert web.asked == [("HEAD", "a.jsonl")] and first == ask(url, tmp_path)
    fetch(first, tmp_path / "in", tmp_path)
    assert (tmp_path / "in" / "a.jsonl").read_bytes() == b'{"a": 1}\n'
    web.files["a.jsonl"] = b'{"a": 2}\n'
    assert ask(url, tmp_path).mark != first.mark
    web.marks = False
    assert ask(url, tmp_path).mark == ""  # it cannot tell, so it will be fetched


@pytest.mark.parametrize(
    ("status", "error", "says"),
    [
        (401, DataError, r"no right to read http://127.0.0.1:\d+/a.jsonl \(HTTP 401\)"),
        (403, DataError, "no right to read"),
        (404, DataError, "nothing at"),
        (410, DataError, "nothing at"),
        (418, DataError, "refuses: HTTP 418"),
        (429, Unreachable, "cannot be read now: HTTP 429"),
        (503, Unreachable, "cannot be read now: HTTP 503"),
    ],
)
def test_what_a_server_answers_is_told(web, tmp_path, status, error, says):
    web.files["a.jsonl"] = status
    with pytest.raises(error, match=says):
        ask(f"{web.address}/a.jsonl", tmp_path)


def test_the_query_of_an_address_is_in_no_name_and_no_message(web, tmp_path):
    signed = f"{web.address}/a.jsonl?signature=s3cr3t"
    web.files["a.jsonl"] = b"1\n"
    assert set(ask(signed, tmp_path).files) == {"a.jsonl"}
    for status in (403, 404, 418, 503):
        web.files["a.jsonl"] = status
        with pytest.raises((DataError, Unreachable)) as refused:
            ask(signed, tmp_path)
        assert "s3cr3t" not in str(refused.value)


def test_other_addresses_that_cannot_be_read(tmp_path):
    for address, error, says in (
        ("http://127.0.0.1:9/a.jsonl", Unreachable, "cannot be read now"),
        ("nowhere://a/b.jsonl", DataError, "no protocol that is known"),
        ("exports/*.jsonl", DataError, "no file at"),
    ):
        with pytest.raises(error, match=says):
            ask(address, tmp_path)


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_a_store_whose_client_is_missing_names_it(tmp_path, scheme):
    client = {"s3": "s3fs", "gs": "gcsfs"}[scheme]
    try:
        __import__(client)
    except ImportError:
        with pytest.raises(DataError, match=f"needs {client}.*pip install {client}"):
            ask(f"{scheme}://bucket/a.jsonl", tmp_path)


def test_a_folder_and_a_glob_change_with_their_listing(tmp_path):
    exports = tmp_path / "exports"
    (exports / "in").mkdir(parents=True)
    (exports / "a.jsonl").write_text("1\n")
    (exports / "in" / "b.jsonl").write_text("2\n")
    folder, glob = (ask(source, tmp_path) for source in ("exports", "exports/*.jsonl"))
    assert set(folder.files) == {"a.jsonl", "in/b.jsonl"} and set(glob.files) == {"a.jsonl"}
    assert ask("exports", tmp_path).mark == folder.mark
    os.utime(exports / "in" / "b.jsonl", (1, 1))
    assert ask("exports", tmp_path).mark != folder.mark
    assert ask("exports/*.jsonl", tmp_path).mark == glob.mark


def test_a_store_is_listed_as_a_folder_and_by_a_glob(tmp_path):
    """fsspec's own store in memory: it has folders, sizes and times as others have."""
    store = MemoryFileSystem()
    store.pipe(
        {
            "/bucket/p/a.jsonl": b"1\n",
            "/bucket/p/in/b.jsonl": b"2\n",
            "/bucket/p/c.png": b"3",
            "/bucket/p/labels.yaml": b"",
        }
    )
    try:
        folder = ask("memory://bucket/p", tmp_path)
        assert set(folder.files) == {"a.jsonl", "in/b.jsonl", "labels.yaml"} and folder.mark
        assert set(ask("memory://bucket/p/*.jsonl", tmp_path).files) == {"a.jsonl"}
        assert set(ask("memory://bucket/p/in/b.jsonl", tmp_path).files) == {"b.jsonl"}
        fetch(folder, tmp_path / "in", tmp_path)
        assert (tmp_path / "in" / "in" / "b.jsonl").read_bytes() == b"2\n"
        store.pipe("/bucket/p/in/b.jsonl", b"2\n2\n")
        assert ask("memory://bucket/p", tmp_path).mark != folder.mark
        with pytest.raises(DataError, match="nothing at memory://bucket/q"):
            ask("memory://bucket/q", tmp_path)
    finally:
        store.rm("/bucket", recursive=True)


def test_the_hub_is_asked_for_the_commit_and_read_at_it(tmp_path, monkeypatch):
    import functools
    import http.server
    import threading

    from data_server import Server

    served = tmp_path / "hub"
    (served / "part").mkdir(parents=True)
    (served / "part" / "a.jsonl").write_text("1\n")
    handler = functools.partial(Server, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        files = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", files)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        assert hub_commit("hf://team/birds@v1") == "c" * 40
        listing = ask("hf://team/birds@v1/part", tmp_path)
        assert listing.address == f"hf://team/birds@{'c' * 40}/part"
        for source, says in (
            ("hf://team/birds@v2", "no revision 'v2'"),
            ("hf://team/fish@v1", "no data set"),
        ):
            with pytest.raises(DataError, match=says):
                ask(source, tmp_path)
        server.shutdown()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(Unreachable, match="does not answer"):
        ask("hf://team/birds@v1", tmp_path)


@pytest.mark.parametrize(
    ("files", "folder"),
    [
        ("a.jsonl", ""),
        ("helpful/*.gz", "helpful"),
        ("a/b/c.jsonl", "a/b"),
        ("**/*.jsonl", ""),
        ("a/[bc]/d/*", "a"),
    ],
)
def test_files_of_a_source_lie_where_the_glob_begins(files, folder):
    assert SourceConfig(files=files).leading_folder == folder
