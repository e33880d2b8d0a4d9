"""Every decoder equals the plain loop: float32 toys, tolerance 1e-5 a token, tokens identical."""

import copy
import dataclasses
import json
import logging
import re

import pytest
import torch
from scipy.stats import chisquare
from toy_arms import (
    END,
    LINEAR,
    PROMPTS,
    TOKENS,
    as_peft_loads_it,
    assert_equals_plain,
    each_alone,
    family_model,
    make_arm,
    mixed_requests,
    other_model,
    save_arms,
)

from genarm.decoding import GuidedRequest, load_decoder
from genarm.decoding.runner.batch import ModelBatch
from genarm.decoding.runner.forward import LayerwiseForward
from genarm.errors import RequestError, TokenizerMismatch
from genarm.models import resolve

torch.set_num_threads(1)
# peft 0.21 asks transformers for a name that goes away in transformers 6, when it wraps a model.


@pytest.fixture(scope="module")
def arms(toy, tmp_path_factory):
    """The folder of each ARM, and the ARM as PEFT loads it."""
    source, root = resolve(str(toy.folder)), tmp_path_factory.mktemp("arms")
    folders = save_arms(root, source, toy.model)
    return folders, {name: as_peft_loads_it(toy.model, folder) for name, folder in folders.items()}


@pytest.fixture(scope="module")
def decoders(toy, arms):
    source, (folders, _) = resolve(str(toy.folder)), arms
    by_strategy = {
        strategy: load_decoder(source, folders, dtype="float32", strategy=strategy, batch_size=8)
        for strategy in ("shared", "separate")
    }
    trunk = by_strategy["shared"].parts[0].trunk
    assert isinstance(trunk.forward_pass, LayerwiseForward)  # else the split would go untested
    assert list(trunk.entry.values()) == [0, 2, 3, 1]
    return by_strategy


@pytest.mark.parametrize("strategy", ["shared", "separate"])
@pytest.mark.parametrize(
    "weights",
    [
        [{}],
        [{"top": 1.0}],
        [{"middle": 0.8}],
        [{"all": 0.5}],
        [{"attention": 1.5}, {}],
        [{"all": 0.3, "middle": 0.7, "top": 1.2}, {"top": 2.0, "all": 0.0}, {}],
    ],
)
def test_guided_tokens_are_those_of_the_plain_loop(toy, arms, decoders, strategy, weights):
    requests = mixed_requests(weights)
    answers = decoders[strategy].generate(requests)
    assert_equals_plain(answers, requests, toy.model, arms[1])


FAMILIES = {
    "mistral": {"sliding_window": 6},
    "qwen2": {},
    "qwen3": {"head_dim": 8},
    "gemma": {"head_dim": 8},
    "gemma2": {
        "head_dim": 8, "sliding_window": 6, "query_pre_attn_scalar": 8, "final_logit_softcapping": 5.0,
    },
    "gemma3_text": {
        "head_dim": 8, "sliding_window": 6, "query_pre_attn_scalar": 8, "sliding_window_pattern": 2,
    },
    "gpt_neox": {"target": ["query_key_value", "dense_4h_to_h"]},  # its parts are elsewhere
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_other_families_equal_the_plain_loop(family, toy, tmp_path, caplog):
    values = dict(FAMILIES[family])
    target = values.pop("target", LINEAR)
    model = family_model(family, tmp_path / "base", toy.tokenizer, **values)
    source = resolve(str(tmp_path / "base"))
    folder = make_arm(
        tmp_path / "arm", source, model, seed=3, target_modules=target, layers_to_transform=[2, 3]
    )
    with caplog.at_level(logging.WARNING, "genarm"):
        decoder = load_decoder(source, {"arm": folder}, dtype="float32")
    assert ("cannot be run layer by layer" in caplog.text) == (family == "gpt_neox")
    requests = mixed_requests([{"arm": 0.7}, {}])
    answers = decoder.generate(requests)
    loaded = {"arm": as_peft_loads_it(model, folder)}
    # Qwen's tokenizer class adds a token of its own to the toy's.
    assert_equals_plain(answers, requests, model, loaded, len(decoder.stop_criteria.tokenizer))


def test_alone_batched_and_in_any_order_the_tokens_are_the_same(toy, arms, decoders):
    source, (folders, _) = resolve(str(toy.folder)), arms
    requests = [
        dataclasses.replace(r, seed=s, max_new_tokens=20)
        for s in range(4)
        for r in mixed_requests([{"all": 0.3, "top": 1.0}, {}, {"middle": 2.0}])
    ]
    alone = each_alone(load_decoder(source, folders, dtype="float32"), requests)
    counts = []
    batched = decoders["shared"].generate(requests, counts.append)
    assert [a.tokens for a in batched] == [a.tokens for a in alone]
    assert [a.text for a in batched] == [a.text for a in alone]
    assert sum(counts) == sum(len(a.tokens) for a in alone)
    backwards = decoders["separate"].generate(requests[::-1])
    assert [a.tokens for a in backwards] == [a.tokens for a in alone[::-1]]


@pytest.mark.parametrize("strategy", ["shared", "separate"])
def test_a_row_that_finishes_harms_no_other(decoders, strategy):
    """Lengths from 1 to 30 make the batch shrink many times; each answer is a prefix of its longest."""
    weights = {"all": 0.4, "middle": 0.3}
    longest = GuidedRequest(PROMPTS[3], weights, max_new_tokens=30, seed=5)
    full = decoders[strategy].generate([longest])[0]
    lengths = [1, 2, 3, 5, 8, 13, 21, 30]
    requests = [dataclasses.replace(longest, max_new_tokens=n) for n in lengths]
    requests[2] = dataclasses.replace(requests[2], weights={})
    for answer, n, request in zip(decoders[strategy].generate(requests), lengths, requests, strict=True):
        if request.weights:
            assert answer.tokens == full.tokens[:n]
            assert answer.finish_reason == ("length" if answer.tokens[-1] != END else "stop")


def test_without_weight_no_arm_is_read_and_the_base_answers(toy, arms, decoders, monkeypatch):
    source, (folders, _) = resolve(str(toy.folder)), arms
    none = load_decoder(source, {}, dtype="float32")
    requests = mixed_requests([dict.fromkeys(folders, 0.0)])
    feed, read = ModelBatch.feed, []
    monkeypatch.setattr(
        ModelBatch,
        "feed",
        lambda self, *a, **k: (read.append(len(self.owners) - self.n), feed(self, *a, **k))[1],
    )
    answers = decoders["shared"].generate(requests)
    monkeypatch.undo()
    assert answers == none.generate([dataclasses.replace(r, weights={}) for r in requests])
    assert set(read) == {0}  # rows beyond the base's own
    assert all(answer.kl == 0 for answer in answers)


def test_an_arm_equal_to_the_base_at_weight_one_is_the_base_at_half_the_temperature(toy):
    source = resolve(str(toy.folder))
    decoder = load_decoder(source, {"itself": toy.folder}, dtype="float32")
    for guided, base in zip(mixed_requests([{"itself": 1.0}]), mixed_requests([{}]), strict=True):
        cold = dataclasses.replace(base, temperature=base.temperature / 2)
        assert decoder.generate([guided])[0].tokens == decoder.generate([cold])[0].tokens


def test_copies_of_one_arm_count_as_one_with_the_summed_weight(toy, arms):
    source, folder = resolve(str(toy.folder)), arms[0]["middle"]
    decoder = load_decoder(source, {"a": folder, "b": folder, "c": folder}, dtype="float32")
    several = decoder.generate(mixed_requests([{"a": 0.5, "b": 0.25, "c": 0.75}]))
    one = decoder.generate(mixed_requests([{"b": 1.5}]))
    assert [a.tokens for a in several] == [a.tokens for a in one]
    assert [a.kl for a in several] == pytest.approx([a.kl for a in one], rel=1e-5)


def test_first_tokens_follow_the_enumerated_distribution(toy, arms):
    source, (folders, loaded) = resolve(str(toy.folder)), arms
    decoder = load_decoder(source, {"top": folders["top"]}, dtype="float32", batch_size=2500)
    request = GuidedRequest((5, 6, 7), {"top": 0.6}, temperature=2.5, max_new_tokens=1)
    draws = decoder.generate([dataclasses.replace(request, seed=s) for s in range(2500)])
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        reads = [m(input_ids=ids).logits[0, -1, :TOKENS].log_softmax(-1) for m in (toy.model, loaded["top"])]
    chances = ((reads[0] + 0.6 * reads[1]) / 2.5).softmax(-1).double()
    counts = torch.bincount(torch.tensor([a.tokens[0] for a in draws]), minlength=TOKENS)
    often = chances * 2500 >= 5
    assert often.sum() > 3 and chances.max() < 0.9  # else the test would say nothing
    observed = [*counts[often].tolist(), int(counts[~often].sum())]
    expected = torch.tensor([*chances[often].tolist(), float(chances[~often].sum())], dtype=torch.float64)
    assert chisquare(observed, expected / expected.sum() * 2500).pvalue > 1e-3


def test_a_stop_string_ends_the_response_and_is_left_out_of_its_text(decoders):
    request = GuidedRequest(PROMPTS[0], {"top": 0.5}, max_new_tokens=40, seed=2)
    whole = decoders["shared"].generate([request])[0]
    assert len(whole.text) > 12
    stop = whole.text[5:8]  # spans tokens: one token is one byte
    start = whole.text.find(stop)
    other = dataclasses.replace(request, seed=3)
    cut, untouched = decoders["shared"].generate([dataclasses.replace(request, stop=("\0none", stop)), other])
    assert (cut.text, cut.finish_reason) == (whole.text[:start], "stop")
    assert cut.tokens == whole.tokens[: len(cut.tokens)] and len(cut.tokens) < len(whole.tokens)
    assert untouched.tokens == decoders["shared"].generate([other])[0].tokens


def test_any_end_token_stops_and_counts_but_is_not_text(toy, tmp_path):
    request = GuidedRequest(PROMPTS[0], max_new_tokens=30, seed=1)
    whole = load_decoder(resolve(str(toy.folder)), {}, dtype="float32").generate([request])[0]
    end = next(t for t in whole.tokens[3:] if t < 256)
    model = copy.deepcopy(toy.model)
    model.generation_config.eos_token_id = [300, end]
    model.save_pretrained(tmp_path)
    toy.tokenizer.save_pretrained(tmp_path)
    answer = load_decoder(resolve(str(tmp_path)), {}, dtype="float32").generate([request])[0]
    assert answer.finish_reason == "stop"
    assert answer.tokens == whole.tokens[: whole.tokens.index(end) + 1]
    assert answer.text == toy.tokenizer.decode(answer.tokens[:-1], skip_special_tokens=True)


def test_where_the_end_token_is_ignored_the_response_goes_on(toy, tmp_path):
    """Past every end token, to its length or a stop string; beside it a request that the token does end."""
    request = GuidedRequest(PROMPTS[0], max_new_tokens=30, seed=1)
    whole = load_decoder(resolve(str(toy.folder)), {}, dtype="float32").generate([request])[0]
    model = copy.deepcopy(toy.model)
    end = model.generation_config.eos_token_id = next(t for t in whole.tokens[3:20] if t < 256)
    model.save_pretrained(tmp_path)
    toy.tokenizer.save_pretrained(tmp_path)
    ignoring = dataclasses.replace(request, ignore_eos=True)
    stop = whole.text[-3:-1]
    decoder = load_decoder(resolve(str(tmp_path)), {}, dtype="float32")
    ended, full, cut = decoder.generate([request, ignoring, dataclasses.replace(ignoring, stop=(stop,))])
    assert ended.tokens == whole.tokens[: whole.tokens.index(end) + 1] and ended.finish_reason == "stop"
    assert (full.tokens, full.text, full.finish_reason) == (whole.tokens, whole.text, "length")
    assert cut.text == whole.text[: whole.text.find(stop)] and cut.finish_reason == "stop"
    assert len(ended.tokens) < len(cut.tokens) < len(full.tokens)
    streamed = decoder.session().submit(ignoring)
    assert [piece.token for piece in streamed] == list(whole.tokens)


def test_requests_beyond_the_context_or_of_unknown_arms_are_refused_before_any_work(decoders):
    counts = []
    for request, message in (
        (GuidedRequest((1,) * 500, max_new_tokens=13), "500 prompt tokens and 13 new .*context of 512"),
        (GuidedRequest((1,), {"kind": 1.0}), "'kind'.*loaded ARMs: all, middle, top, attention"),
    ):
        with pytest.raises(RequestError, match=message):
            decoders["shared"].generate([GuidedRequest((1,)), request], counts.append)
    assert not counts


def test_a_smaller_model_guides_though_its_vocabulary_is_padded_otherwise(toy, tmp_path):
    small = other_model(toy, tmp_path / "small", vocab_size=320)
    source = resolve(str(toy.folder))
    arm = make_arm(tmp_path / "arm", resolve(str(tmp_path / "small")), small, seed=4)
    decoder = load_decoder(source, {"model": tmp_path / "small", "lora": arm}, dtype="float32")
    requests = mixed_requests([{"model": 0.5, "lora": 0.5}, {"model": 1.0}, {}])
    loaded = {"model": small, "lora": as_peft_loads_it(small, arm)}
    assert_equals_plain(decoder.generate(requests), requests, toy.model, loaded)


def test_models_with_other_tokens_are_refused_by_the_first_one(toy, tmp_path):
    other_model(toy, tmp_path)
    tokenizer = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    vocab = tokenizer["model"]["vocab"]
    names = {i: token for token, i in vocab.items()}
    vocab[names[10]], vocab[names[20]] = 20, 10
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    source = resolve(str(toy.folder))
    with pytest.raises(TokenizerMismatch, match=re.escape(f"token 10: {names[20]!r} against {names[10]!r}")):
        load_decoder(source, {"arm": tmp_path}, dtype="float32")
