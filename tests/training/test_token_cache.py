"""Token ids on disk: written once, the same as in memory, and never trusted when broken."""

import json
import multiprocessing
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from toys import byte_tokenizer

from genarm.errors import DataError
from genarm.system.files import write_rows
from genarm.training import token_cache
from genarm.training.token_cache import tokenise
from genarm.training.tokens import encode
from genarm.types import Message, PreferencePair, Prompt


def preferences(n: int, seed: int = 0) -> list[PreferencePair]:
    rng = random.Random(seed)

    def text() -> str:
        return "".join(rng.choice("abc é") for _ in range(rng.randint(1, 30)))

    return [PreferencePair(Prompt((Message("user", text()),)), text(), text()) for _ in range(n)]


@pytest.fixture
def file(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("GENARM_CACHE", str(tmp_path / "cache"))
    write_rows(tmp_path / "train.jsonl", preferences(7))
    return tmp_path / "train.jsonl"


def caches(folder: Path) -> list[Path]:
    return sorted((folder / "cache" / "tokens").glob("*/pairs.arrow"))


def test_the_file_holds_what_encoding_gives(file, monkeypatch):
    monkeypatch.setattr(token_cache, "BATCH", 3)
    pairs = tokenise(file, byte_tokenizer())
    expected = encode(preferences(7), byte_tokenizer())
    assert [*pairs] == expected
    assert pairs[2:4] == expected[2:4]
    assert pairs.lengths.tolist() == [[len(p.prompt), len(p.chosen), len(p.rejected)] for p in expected]
    assert pairs.row_tokens.tolist() == [p.row_tokens for p in expected]
    chosen = pairs.take([4, 1])
    assert [*chosen] == [expected[4], expected[1]]
    assert len({pairs.fingerprint, chosen.fingerprint, pairs.take([1, 4]).fingerprint}) == 3


def test_it_is_written_once_and_again_for_other_pairs_or_another_template(file, tmp_path, monkeypatch):
    first = tokenise(file, byte_tokenizer())
    with monkeypatch.context() as never:
        never.setattr(token_cache, "encode", None)
        assert tokenise(file, byte_tokenizer()).fingerprint == first.fingerprint
    other = byte_tokenizer()
    other.chat_template = "Q " + other.chat_template
    assert tokenise(file, other).lengths[0, 0] == first.lengths[0, 0] + 2
    write_rows(file, preferences(8))
    assert len(tokenise(file, byte_tokenizer())) == 8
    assert len(caches(tmp_path)) == 3


@pytest.mark.parametrize("harm", ["cut", "changed", "no note"])
def test_a_broken_cache_is_written_again(file, tmp_path, harm, caplog):
    first = [*tokenise(file, byte_tokenizer())]
    (rows,) = caches(tmp_path)
    content = rows.read_bytes()
    if harm == "no note":
        (rows.parent / "complete.json").unlink()
    else:
        rows.write_bytes(content[:-8] if harm == "cut" else content[:-40] + b"\7" + content[-39:])
    assert [*tokenise(file, byte_tokenizer())] == first
    assert "cut short or altered; it is written again" in caplog.text
    assert rows.read_bytes() == content


def _count(file: Path, done: "multiprocessing.Queue[int]") -> None:
    done.put(len(tokenise(file, byte_tokenizer())))


def test_two_processes_may_ask_at_once(file, tmp_path):
    context = multiprocessing.get_context("fork")
    done = context.Queue()
    both = [context.Process(target=_count, args=(file, done)) for _ in range(2)]
    for process in both:
        process.start()
    assert [done.get(timeout=60) for _ in both] == [7, 7]
    for process in both:
        process.join()
    assert len(caches(tmp_path)) == 1
    assert not list((tmp_path / "cache" / "tokens").glob("*.new"))


def test_over_long_pairs_are_left_out_by_name_or_lose_the_start_of_their_prompt(tmp_path, monkeypatch):
    """The byte tokenizer: 4 tokens around a prompt's letters, 1 after a response's."""
    monkeypatch.setenv("GENARM_CACHE", str(tmp_path / "cache"))
    texts = [("a" * 4, "yes", "no"), ("b" * 9, "yes", "no"), ("c", "y" * 12, "no")]
    pairs = [PreferencePair(Prompt((Message("user", p),)), c, r) for p, c, r in texts]
    write_rows(tmp_path / "train.jsonl", pairs)
    cached = tokenise(tmp_path / "train.jsonl", byte_tokenizer())
    uncut = [*cached]
    kept, refused = cached.within(12, None)
    assert [*kept] == uncut[:1]
    assert [(r.prompt_id, r.row, r.prompt, r.response) for r in refused] == [
        (pairs[1].prompt.id, 2, 12, 4),
        (pairs[2].prompt.id, 3, 4, 13),
    ]
    cut, refused = cached.within(12, "prompt_start")
    assert [p.prompt for p in cut] == [uncut[0].prompt, uncut[1].prompt[-8:]]
    assert [p.chosen for p in cut] == [uncut[0].chosen, uncut[1].chosen], "a response is never cut"
    assert [r.row for r in refused] == [3]
    assert len({cached.fingerprint, kept.fingerprint, cut.fingerprint}) == 3


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="no file at .*train.jsonl.*dvc repro"):
        tokenise(tmp_path / "train.jsonl", byte_tokenizer())


READ_ALL = """
import json, resource, sys
from pathlib import Path

sys.path.insert(0, "tests")
from toys import byte_tokenizer

from genarm.training import token_cache
from genarm.training.collate import collate
from genarm.training.packing import PackedSteps
from genarm.training.token_cache import tokenise

token_cache.TWO_BYTES = int(sys.argv[2])
pairs = tokenise(Path(sys.argv[1]), byte_tokenizer())
steps = PackedSteps(pairs.row_tokens, epochs=1, batch_pairs=16, batch_tokens=2048, seed=0)
read = sum(len(collate([pairs[i] for i in pack])) for step in steps for pack in step)
print(json.dumps([read, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("two_bytes", [2**16, 0])
def test_memory_does_not_grow_with_the_pairs(tmp_path, two_bytes):
    """Preparing and reading 20,000 pairs of some 400 tokens peaks within 5% of 2,000; ids of 2 or 4 bytes."""

    def peak(n: int) -> int:
        rng = random.Random(n)
        text = "".join(rng.choice("abcdefgh ") for _ in range(9999))

        def piece() -> str:
            start, length = rng.randrange(9000), rng.randint(50, 220)
            return text[start : start + length]

        file = tmp_path / f"{n}.jsonl"
        prompts = (Prompt((Message("user", piece()),)) for _ in range(n))
        write_rows(file, (PreferencePair(prompt, piece(), piece()) for prompt in prompts))
        done = subprocess.run(
            [sys.executable, "-c", READ_ALL, str(file), str(two_bytes)],
            env={**os.environ, "GENARM_CACHE": str(tmp_path / "cache")},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        )
        read, kilobytes = json.loads(done.stdout)
        assert read == n
        return kilobytes

    few, many = peak(2000), peak(20000)
    print(f"{few} kB for 2,000 pairs, {many} kB for 20,000")
    assert many < 1.05 * few, f"{few} kB for 2,000 pairs, {many} kB for 20,000"
