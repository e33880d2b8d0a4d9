"""Rotary embeddings that change with the length: a request is answered alike alone, beside others, and by HF.

Tokens are the same, log-probabilities within 1e-5 of their size.
"""

import dataclasses
import logging

import pytest
import torch
from toy_arms import assert_equals_plain, each_alone, plain_loop
from toy_rotary import CONTEXT, KINDS, LONGROPE, SWITCH, rotary_model

from genarm.decoding import GuidedRequest, load_decoder
from genarm.decoding.runner.batch import ModelBatch
from genarm.errors import ModelError, RequestError
from genarm.models import resolve, rotary

torch.set_num_threads(1)


def requests(context: int, weights):
    """Of all lengths, up to the very last position, and a very short one beside them."""
    prompts = [(1, 2, 3), tuple(range(40, 40 + context - 12)), (9,), tuple(range(100, 90 + context // 2))]
    return [
        GuidedRequest(prompt, weights[i % 2], seed=i, max_new_tokens=min(40, context - len(prompt)))
        for i, prompt in enumerate(prompts)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_is_answered_alike_alone_and_beside_a_long_one(kind, tmp_path, caplog):
    model = rotary_model(kind, tmp_path / "base")
    source = resolve(str(tmp_path / "base"))
    with caplog.at_level(logging.WARNING, "genarm"):
        decoder = load_decoder(source, {}, dtype="float32")
    assert decoder.context == (SWITCH if kind == "longrope" else CONTEXT)
    assert ("beyond 32 tokens (longrope), and is read up to there" in caplog.text) == (kind == "longrope")
    asked = requests(decoder.context, [{}, {}])
    together = decoder.generate(asked)
    assert_equals_plain(together, asked, model, {})
    assert [a.tokens for a in together] == [a.tokens for a in each_alone(decoder, asked)]
    for request in asked:
        greedy = dataclasses.replace(request, temperature=0.0, ignore_eos=True)
        (answer,) = decoder.generate([greedy])
        theirs = model.generate(
            torch.tensor([request.prompt]),
            max_new_tokens=request.max_new_tokens,
            do_sample=False,
            eos_token_id=None,
            suppress_tokens=[261, 262, 263],
        )
        assert answer.tokens == tuple(theirs[0, len(request.prompt) :].tolist())


def test_a_request_that_may_cross_the_change_is_refused_by_name(tmp_path):
    rotary_model("longrope", tmp_path / "base")
    decoder = load_decoder(resolve(str(tmp_path / "base")), {}, dtype="float32")
    crossing = GuidedRequest(tuple(range(28)), max_new_tokens=5)
    with pytest.raises(
        RequestError, match="request 0: 28 prompt.* and 5 new ones exceed the context of 32"
    ) as error:
        decoder.generate([crossing])
    assert "changes its rotary embedding beyond 32 tokens (longrope)" in error.value.hint
    assert "set short_factor to long_factor" in error.value.hint


def test_one_set_of_factors_for_all_lengths_is_read_to_the_end(tmp_path, caplog):
    """The way out that the refusal names."""
    model = rotary_model("longrope", tmp_path / "base", short_factor=LONGROPE["long_factor"])
    with caplog.at_level(logging.WARNING, "genarm"):
        decoder = load_decoder(resolve(str(tmp_path / "base")), {}, dtype="float32")
    assert decoder.context == CONTEXT
    assert not [record for record in caplog.records if record.name.startswith("genarm")]
    asked = requests(CONTEXT, [{}, {}])
    assert_equals_plain(decoder.generate(asked), asked, model, {})


@pytest.mark.parametrize("kind", ["longrope", "dynamic"])
def test_a_draft_past_the_end_changes_no_other(kind, tmp_path):
    """All drafts are accepted, so eight are read; one request is at its last position, others are not."""
    model = rotary_model(kind, tmp_path / "base")
    source = resolve(str(tmp_path / "base"))
    decoder = load_decoder(
        source, {"same": source.path}, dtype="float32", strategy="separate", speculate=True
    )
    decoder.policy.cost = 0.01  # as if the draft were small
    asked = [
        GuidedRequest(prompt, {"same": 0.3}, temperature=0.0, max_new_tokens=decoder.context - len(prompt))
        for prompt in ((1, 2, 3), (8,) * 12, (7, 7, 200, 3), (9,))
    ]
    asked = [dataclasses.replace(request, ignore_eos=True) for request in asked]
    for request, answer in zip(asked, decoder.generate(asked), strict=True):
        assert answer.tokens == plain_loop(model, {"same": model}, request, ends=())[0]
    assert decoder.policy.acceptance > 0.9


@pytest.mark.parametrize("kind", ["longrope", "dynamic"])
def test_a_free_sequence_that_reads_on_changes_no_other(kind, tmp_path):
    rotary_model(kind, tmp_path / "base")
    decoder = load_decoder(resolve(str(tmp_path / "base")), {}, dtype="float32")
    read = []
    for past in (0, decoder.context + 5):
        batch = ModelBatch(decoder.parts[0].trunk, 2, {}, 100, bare=True)
        batch.feed(torch.tensor([[1, 2, 3], [4, 5, 6]]), head=None)
        batch.release([1])
        batch.lengths[1] = past
        read.append(batch.feed(torch.tensor([[7], [8]]), head=slice(-1, None))[0])
    torch.testing.assert_close(*read)


def test_a_change_that_no_configuration_tells_of_is_noticed(tmp_path, monkeypatch):
    rotary_model("longrope", tmp_path / "base")
    monkeypatch.setattr(rotary, "position_limit", lambda config: None)
    monkeypatch.setattr("genarm.models.load.position_limit", lambda config: None)
    with pytest.raises(
        ModelError, match=r"Phi3ForCausalLM reads a text otherwise beside a longer one: .*off by"
    ):
        load_decoder(resolve(str(tmp_path / "base")), {}, dtype="float32")
