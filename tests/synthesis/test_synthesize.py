"""Pairs worked by hand from known responses, and the whole seed twice on the toy base."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from genarm.config import JudgeConfig
from genarm.decoding import GuidedRequest, GuidedResponse
from genarm.errors import DataError, ModelError
from genarm.judges import load_scorer
from genarm.models import render
from genarm.synthesis.seed import write_seed
from genarm.synthesis.synthesize import Candidate, Settings, pair_up, synthesize, whole_sentences
from genarm.system.files import sha256
from genarm.types import Message, PreferencePair, Prompt

torch.set_num_threads(1)

P, Q = Prompt((Message("user", "How are you?"),)), Prompt((Message("user", "And you?"),))
BY_LENGTH = {d: load_scorer(JudgeConfig(scorer=d)) for d in ("length", "brief")}


class Script:
    """A decoder that answers from a list, in order, and keeps what it was asked."""

    context = 512

    def __init__(self, *answers: tuple[str, str]) -> None:
        self.answers = [GuidedResponse((0,), text, reason, -1.0, 0.0) for text, reason in answers]
        self.asked: list[GuidedRequest] = []

    def generate(
        self, requests: Sequence[GuidedRequest], on_tokens: Callable[[int], None] | None = None
    ) -> list[GuidedResponse]:
        self.asked = list(requests)
        return self.answers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is warm. Then it ra", "It is warm."),
        ("It is warm. ", "It is warm."),
        ('She said "no!" and we le', 'She said "no!"'),
        ("**Rest well.** Then sl", "**Rest well.**"),
        ("Try this:\n\n1. Sleep more.\n2. Eat", "Try this:\n\n1. Sleep more."),
        ("Try this.\n\n1", "Try this."),
        ("Ask her. Dr. Low and Mrs. High kn", "Ask her."),
        ("Eat fruit. Some, e.g. apples", "Eat fruit."),
        ("It began in 1896. Since then", "It began in 1896."),
        ("It costs 3.50 in a shop and", ""),
        ("no end in sight", ""),
        ("", ""),
    ],
)
def test_a_cut_response_ends_at_its_last_whole_sentence(text, expected):
    assert whole_sentences(text, cut=True) == expected


def test_a_response_that_ended_by_itself_is_kept():
    assert whole_sentences(" Warm regards, \nAnna\n", cut=False) == "Warm regards, \nAnna"


def test_pairs_are_those_whose_scores_lie_the_gap_apart():
    """Scores 1, 4, 3 at gap 2: 4 over 1 and 3 over 1, but not 4 over 3. Q is never paired with P."""
    scores = [(P, "a", 1.0), (P, "b", 4.0), (P, "c", 3.0), (Q, "d", 9.0)]
    candidates = [Candidate(prompt, text, {"x": score}) for prompt, text, score in scores]
    assert pair_up(candidates, "x", 2.0) == [PreferencePair(P, "b", "a"), PreferencePair(P, "c", "a")]
    assert len(pair_up(candidates, "x", 0.0)) == 3
    even = [Candidate(P, text, {"x": 1.0}) for text in "ab"]
    assert pair_up(even, "x", 0.0) == []


def test_from_answers_to_pairs(toy):
    """Of P's three answers one is a copy and one is cut; of Q's one loops and one has no whole sentence."""
    decoder = Script(
        ("One two three.", "stop"),
        ("One two three.", "stop"),
        ("One two three four five. And th", "length"),
        ("on and on and on and on and on and on", "stop"),
        ("never a whole sentence", "length"),
        ("One two three four.", "stop"),
    )
    settings = Settings(samples=3, min_words=3, seed=5, gaps={"length": 1.0, "brief": 3.0})
    made = synthesize([P, Q], decoder, toy.tokenizer, BY_LENGTH, settings)
    assert [(c.prompt, c.text) for c in made.candidates] == [
        (P, "One two three."),
        (P, "One two three four five."),
        (Q, "One two three four."),
    ]
    assert made.pairs == {
        "length": [PreferencePair(P, "One two three four five.", "One two three.")],
        "brief": [],  # two words apart, three wanted
    }
    assert (made.prompts, made.drawn) == (2, 6)
    assert [list(r.prompt) for r in decoder.asked[2:4]] == [
        render(toy.tokenizer, prompt.messages) for prompt in (P, Q)
    ]
    assert all(not r.weights for r in decoder.asked)
    assert len({r.seed for r in decoder.asked}) == 6


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "seed").mkdir()
    rows = [
        json.dumps({"prompt": f"Tell me about the {thing}."}) for thing in ("sea", "moon", "wind", "rain")
    ]
    (tmp_path / "seed" / "prompts.jsonl").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_the_seed_twice_is_the_same_bytes(toy, project):
    """At temperature 8 the toy is nearly uniform over its tokens, so that some of its answers end."""
    settings = Settings(
        samples=6,
        temperature=8.0,
        top_p=1.0,
        max_new_tokens=160,
        min_words=1,
        gaps={"length": 1.0, "brief": 3.0},
    )
    seed = project / "seed"
    summary = write_seed(project, str(toy.folder), settings)
    first = {f.name: f.read_bytes() for f in seed.iterdir()}
    assert sorted(first) == ["README.md", "brief.jsonl", "labels.yaml", "length.jsonl", "prompts.jsonl"]
    write_seed(project, str(toy.folder), settings)
    assert {f.name: f.read_bytes() for f in seed.iterdir()} == first

    rows = [json.loads(line) for line in first["length.jsonl"].decode().splitlines()]
    assert rows and f"length: {len(rows)} pairs" in summary
    score = BY_LENGTH["length"]
    for row in rows:
        assert [turn["role"] for turn in row["prompt"]] == ["user"]
        assert score(row["chosen"]) >= score(row["rejected"]) + 1
    card = first["README.md"].decode()
    assert f"| `length.jsonl` | {len(rows)} |" in card
    assert sha256(seed / "prompts.jsonl") in card
    assert str(project) not in card.replace(str(toy.folder), "")
    # Shorter is the opposite of longer: rank correlation -1, no common pair on the same side.
    assert "Spearman correlation -1.00" in card and "0% have the same" in card


def test_another_seed_draws_other_responses(toy, project):
    settings = {"samples": 4, "temperature": 8.0, "top_p": 1.0, "max_new_tokens": 160, "min_words": 1}
    files = []
    for seed in (1, 50):
        write_seed(project, str(toy.folder), Settings(**settings, seed=seed, gaps={"length": 1.0}))
        files.append((project / "seed" / "length.jsonl").read_bytes())
    assert files[0] != files[1]


def test_a_dimension_without_pairs_leaves_the_seed_as_it_is(toy, project):
    settings = Settings(samples=2, max_new_tokens=8, temperature=0.0, gaps={"length": 1.0})
    with pytest.raises(DataError, match="on 'length'"):  # greedy samples are all the same
        write_seed(project, str(toy.folder), settings)
    assert [f.name for f in (project / "seed").iterdir()] == ["prompts.jsonl"]


def test_a_prompt_file_with_another_key_is_refused_by_row(toy, project):
    path = project / "seed" / "prompts.jsonl"
    path.write_text(path.read_text() + '{"question": "Why?"}\n')
    with pytest.raises(DataError, match=r"prompts.jsonl, row 5"):
        write_seed(project, str(toy.folder))


def test_a_base_that_is_not_there(project):
    with pytest.raises(ModelError, match="no folder"):
        write_seed(project, "./nowhere")
