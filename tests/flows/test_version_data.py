"""What `genarm data` says of a source that it took: every file, its rows, and which dimension reads it."""

import json

from genarm.flows.version_data import came_in

from genarm.config import PairsConfig, SourceConfig
from genarm.data.pairs import make_pairs


def test_every_file_is_told_with_its_rows_and_its_readers(toy, tmp_path):
    row = {"prompt": "q", "chosen": "yes", "rejected": "no", "margin": 0.5}
    for name, count in (("a.jsonl", 3), ("in/b.jsonl", 2), ("in/empty.jsonl", 0)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((json.dumps(row) + "\n") * count)
    (tmp_path / "README.md").write_text("about it")
    sources = {"kind": SourceConfig(files="**/*.jsonl"), "brief": SourceConfig(files="a.jsonl")}
    config = PairsConfig()
    stats = {d: make_pairs(tmp_path, d, source, config, toy.tokenizer).stats for d, source in sources.items()}

    def told(file: str, rows: str, dimensions: str, unread: str) -> dict[str, str]:
        return {"file": file, "rows": rows, "dimensions": dimensions, "columns not read": unread}

    expected = [
        told("README.md", "", "", ""),
        told("a.jsonl", "3", "kind, brief", "margin"),
        told("in/b.jsonl", "2", "kind", ""),  # its rows are duplicates, so nothing of them is used
        told("in/empty.jsonl", "0", "kind", ""),
    ]
    assert came_in(tmp_path, stats) == expected
    assert came_in(tmp_path, {}) == [told(row["file"], "", "", "") for row in expected]
