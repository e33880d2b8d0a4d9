"""Rows to pairs: what is kept, what is refused and how that is told, which split it falls in."""

import gzip
import hashlib
import json
from pathlib import Path

import pytest

from genarm.config import PairsConfig, SourceConfig
from genarm.data.pairs import RefusedRow, check_pairs, make_pairs, split_of, write_pairs
from genarm.errors import ConfigError, DataError
from genarm.system.files import read_rows
from genarm.system.layout import Layout
from genarm.types import Message, PreferencePair, Prompt, Split

CONFIG = PairsConfig(validation=0.2, evaluation=0.3, max_refused=0.5)


def row(prompt: str, chosen: str = "yes", rejected: str = "no") -> dict[str, str]:
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def lines(rows: list[dict[str, str]]) -> str:
    return "".join(json.dumps(r) + "\n" for r in rows)


def make(toy, data: Path, files: str = "*", config: PairsConfig = CONFIG, dimension: str = "kind"):
    return make_pairs(data, dimension, SourceConfig(files=files), config, toy.tokenizer)


MANY = [row(f"question {i}", "yes" * (i % 3 + 1), "no") for i in range(60)]


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.jsonl").write_text(lines(MANY), encoding="utf-8")
    return folder


def test_every_format_of_file_gives_the_same_pairs(toy, tmp_path):
    import pyarrow
    import pyarrow.parquet

    for folder in ("plain", "packed", "array", "table"):
        (tmp_path / folder).mkdir()
    (tmp_path / "plain" / "a.jsonl").write_text(lines(MANY), encoding="utf-8-sig", newline="\r\n")
    (tmp_path / "packed" / "a.jsonl.gz").write_bytes(gzip.compress(lines(MANY).encode()))
    (tmp_path / "array" / "a.json").write_text(json.dumps(MANY), encoding="utf-8")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(MANY), tmp_path / "table" / "a.parquet")
    results = [make(toy, tmp_path / folder) for folder in ("plain", "packed", "array", "table")]
    assert results[0].stats.pairs == 60
    assert all(r.splits == results[0].splits and r.stats == results[0].stats for r in results)


def test_what_is_refused_keeps_its_place_and_its_reason(toy, data):
    broken = '{"prompt": "cut off'
    more = [
        row("question 1", "yesyes", "no"),
        row("question 1", "no", "yesyes"),
        row("question 99", "", "no"),
    ]
    (data / "b.jsonl").write_text(f"{broken}\n\n{lines(more)}", encoding="utf-8")
    result = make(toy, data)
    assert [(r.file, r.row, r.reason, r.detail) for r in result.refused] == [
        ("b.jsonl", 1, "not JSON", "Unterminated string starting at at column 12"),
        ("b.jsonl", 3, "duplicate", "of row 2 of a.jsonl"),
        ("b.jsonl", 4, "contradicts an earlier row", "row 2 of a.jsonl prefers the other response"),
        ("b.jsonl", 5, "empty response", ""),
    ]
    assert result.refused[0].sha256 == hashlib.sha256(broken.encode()).hexdigest()
    assert (result.stats.rows, result.stats.pairs) == (64, 60)
    assert result.stats.refused_share == round(3 / 64, 6)  # a duplicate does no harm


def test_a_row_is_refused_whole_one_token_above_the_limit(toy, tmp_path):
    """<|user|> q <|end|> <|assistant|>, then "yes" and the end token: 4 + 4."""
    (tmp_path / "a.jsonl").write_text(lines([row("q")]), encoding="utf-8")
    fits = make(toy, tmp_path, config=CONFIG.model_copy(update={"max_tokens": 8}))
    assert fits.stats.pairs == 1 and fits.stats.prompt.max == fits.stats.chosen.max == 4
    (refused,) = make(toy, tmp_path, config=CONFIG.model_copy(update={"max_tokens": 7})).refused
    assert (refused.reason, refused.detail) == ("longer than 7 tokens", "prompt 4 + response 4")


def test_a_template_may_refuse_a_prompt(toy, data, monkeypatch):
    stern = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}{% endif %}{% endfor %}"
    )
    monkeypatch.setattr(toy.tokenizer, "chat_template", stern + toy.tokenizer.chat_template)
    turns = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]
    (data / "b.jsonl").write_text(json.dumps({"prompt": turns, "chosen": "a", "rejected": "b"}))
    (refused,) = make(toy, data).refused
    assert (refused.file, refused.reason) == ("b.jsonl", "the chat template refuses the prompt")


def test_a_prompt_stays_in_its_split_in_every_dimension_and_as_data_grows(toy, data):
    before = make(toy, data)
    (data / "b.jsonl").write_text(lines([row(f"more {i}") for i in range(200)] + MANY[:30]), encoding="utf-8")
    (data / "c.jsonl").write_text(
        lines([row(r["prompt"], "better", "worse") for r in MANY]), encoding="utf-8"
    )
    after, other = make(toy, data, "[ab].jsonl"), make(toy, data, "c.jsonl", dimension="brief")
    for split, pairs in before.splits.items():
        prompts = [p.prompt.id for p in pairs]
        assert prompts == [p.prompt.id for p in other.splits[split]]
        assert set(prompts) <= {p.prompt.id for p in after.splits[split]}
    reseeded = make(toy, data, "a.jsonl", CONFIG.model_copy(update={"seed": 1}))
    assert reseeded.splits != before.splits


def test_splits_have_their_shares():
    prompts = [Prompt((Message("user", str(i)),)) for i in range(4000)]
    splits = [split_of(p, CONFIG) for p in prompts]
    # 4000 draws: one standard deviation is 0.7 of a hundred, so 3 of a hundred do not happen by chance
    assert splits.count("evaluation") / 4000 == pytest.approx(0.3, abs=0.03)
    assert splits.count("validation") / 4000 == pytest.approx(0.2, abs=0.03)


def test_files_are_the_same_bytes_again_and_read_back_as_nouns(toy, data, tmp_path):
    (data / "b.jsonl").write_text(lines([*MANY[:40], row("a new one")]), encoding="utf-8")

    def written(name: str) -> dict[str, bytes]:
        layout = Layout(tmp_path / name)
        for dimension, file in (("kind", "a"), ("brief", "b")):
            write_pairs(layout, make(toy, data, f"{file}.jsonl", dimension=dimension))
        files = sorted(f for f in layout.artifacts.rglob("*") if f.is_file())
        return {f.relative_to(layout.root).as_posix(): f.read_bytes() for f in files}

    first = written("one")
    assert first == written("two")
    layout = Layout(tmp_path / "one")

    def prompts(split: Split) -> set[str]:
        rows = [p for d in ("kind", "brief") for p in read_rows(layout.pairs(d, split), PreferencePair)]
        return {pair.prompt.id for pair in rows}

    assert prompts("train") and prompts("evaluation") and not prompts("train") & prompts("evaluation")


def test_too_many_refused_rows_stop_after_the_quarantine_is_written(toy, data, tmp_path):
    secret = "a text that nobody should meet in a log"
    bad = [row(secret, "", "no") for _ in range(70)] + [row(secret, "same", "same")]
    (data / "b.jsonl").write_text(lines(bad), encoding="utf-8")
    layout = Layout(tmp_path)
    with pytest.raises(DataError) as caught:
        write_pairs(layout, make(toy, data))
    assert "54.2% of the 131 rows of 'kind'" in str(caught.value) and "50.0% allowed" in str(caught.value)
    assert "empty response (70), chosen equals rejected (1)" in str(caught.value)
    assert "artifacts/pairs/kind/quarantine.jsonl" in caught.value.hint
    assert len(read_rows(layout.quarantine("kind"), RefusedRow)) == 71
    assert secret not in layout.quarantine("kind").read_text(encoding="utf-8") + str(caught.value)
    assert not layout.pairs("kind", "train").exists()


def test_an_empty_split_says_which_and_what_to_do(toy, data):
    (data / "a.jsonl").write_text(lines(MANY[:1]), encoding="utf-8")
    result = make(toy, data)
    (full,) = (s for s, pairs in result.splits.items() if pairs)
    empty = "train" if full != "train" else "validation"
    with pytest.raises(DataError, match=f"'kind' has no {empty} pairs; rows 1.*pairs\\.validation"):
        check_pairs(result, "")


def test_a_file_cut_short_stops_everything(toy, tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines(MANY).encode())[:-20])
    (tmp_path / "a.json").write_text(json.dumps(MANY)[:-5], encoding="utf-8")
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and no more")
    for name in ("a.jsonl.gz", "a.json", "a.parquet"):
        with pytest.raises(DataError, match=name):
            make(toy, tmp_path, name)


def test_a_glob_that_finds_nothing_says_what_there_is(toy, data):
    with pytest.raises(DataError, match="no data file matches 'b.jsonl'; hint: there are: a.jsonl"):
        make(toy, data, "b.jsonl")
    (data / "notes.txt").touch()
    with pytest.raises(DataError, match="notes.txt is no data file"):
        make(toy, data)
    for pattern, says in (("../*.jsonl", "leads out of data"), ("", "is no glob")):
        with pytest.raises(ConfigError, match=says):
            make(toy, data, pattern)
