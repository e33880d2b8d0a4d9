"""Scores of k continuations with a cache: those of whole passes over each text, whatever is beside it."""

import math

import pytest
import torch
from toy_arms import family_model
from toy_rewards import change_tensors, gpt2, llama, save
from toys import byte_tokenizer
from transformers import AutoConfig, AutoModelForSequenceClassification

from genarm.baselines.reward_model import load_reward_model, reward_trunk
from genarm.baselines.reward_rows import RewardRows
from genarm.errors import JudgeError, ModelError, RequestError, TokenizerMismatch
from genarm.judges.reward.weights import load_classifier
from genarm.models import load_tokenizer, resolve

TOLERANCE = 1e-4
TEXTS = {"a": [1, 2, 3], "b": list(range(40, 71)), "c": [9]}
CONTINUED = {"a": [[4], [5, 6, 7]], "b": [[7], [7, 7]], "c": [[1, 2, 3, 4, 5], [250]]}


def load(place, toy, **settings):
    base = resolve(str(toy.folder))
    return load_reward_model(place, base=base, tokenizer=load_tokenizer(base), dtype="float32", **settings)


@torch.no_grad()
def plain(model, text) -> float:
    """The score of one text alone: a whole pass without cache or padding."""
    states = model.base_model(input_ids=torch.tensor([text]), use_cache=False).last_hidden_state
    return float(model.score(states[:, -1])[0, 0])


def assert_plain(found, model, texts, continued, ending=(), sign=1) -> None:
    for name, given in continued.items():
        want = [sign * plain(model, [*texts[name], *tokens, *ending]) for tokens in given]
        assert found[name] == pytest.approx(want, abs=TOLERANCE, rel=0)


def classifier(kind: str, **config):
    values = {k: v for k, v in llama().config.to_dict().items() if k in (
        "vocab_size", "hidden_size", "intermediate_size", "num_attention_heads", "pad_token_id",
        "max_position_embeddings", "num_hidden_layers", "eos_token_id",
    )}  # fmt: skip
    torch.manual_seed(3)
    config = AutoConfig.for_model(kind, **(values | {"num_labels": 1, "initializer_range": 0.3} | config))
    return AutoModelForSequenceClassification.from_config(config).eval()


@pytest.mark.parametrize(
    "model",
    [
        lambda: llama(num_key_value_heads=2),
        gpt2,
        lambda: classifier("mistral", sliding_window=4, num_key_value_heads=2),
        lambda: classifier("gemma2", sliding_window=4, head_dim=8, num_key_value_heads=2),
        lambda: classifier("qwen3", head_dim=8, num_key_value_heads=2),
    ],
    ids=["llama", "gpt2", "mistral sliding", "gemma2", "qwen3"],
)
def test_scores_are_those_of_whole_passes_while_rows_come_go_and_grow(model, tmp_path, toy) -> None:
    reward = load(save(tmp_path, model()), toy)
    alone = load_classifier(resolve(str(tmp_path)), "float32")
    rows, texts = RewardRows(reward), dict(TEXTS)
    rows.join({name: texts[name] for name in "ab"})
    assert_plain(rows.scores({n: CONTINUED[n] for n in "ab"}), alone, texts, {n: CONTINUED[n] for n in "ab"})
    rows.keep({"a": (1, 2)})  # [5, 6] of the second, without its 7; b keeps nothing
    texts["a"] = [*texts["a"], 5, 6]
    assert_plain(rows.scores(CONTINUED | {"c": []}), alone, texts, {n: CONTINUED[n] for n in "ab"})
    rows.keep({"a": (0, 1), "b": (1, 2)})
    texts |= {"a": [*texts["a"], 4], "b": [*texts["b"], 7, 7]}
    rows.join({"c": texts["c"]})
    assert_plain(rows.scores(CONTINUED), alone, texts, CONTINUED)
    rows.leave(["a"])
    for token in range(200, 240):  # further than the room that a new cache has
        rows.scores({"b": [[token]], "c": [[token + 1]]})
        rows.keep({"b": (0, 1), "c": (0, 1)})
        texts |= {"b": [*texts["b"], token], "c": [*texts["c"], token + 1]}
    left = {name: CONTINUED[name] for name in "bc"}
    assert_plain(rows.scores(left), alone, texts, left)
    assert rows.names == ["b", "c"]


def test_every_token_counts_once_for_each_row_that_reads_it(tmp_path, toy) -> None:
    rows = RewardRows(load(save(tmp_path, llama()), toy))
    rows.join(TEXTS)
    assert rows.read == 3 + 31 + 1
    rows.scores(CONTINUED)
    assert rows.read == 35 + (1 + 3) + (1 + 2) + (5 + 1)
    rows.keep({"a": (1, 3)})  # nothing is read again
    assert rows.read == 35 + 13


def test_a_turn_may_be_closed_before_the_score_and_a_cost_is_turned_around(tmp_path, toy) -> None:
    model = llama()
    reward = load(save(tmp_path, model), toy, close_turn=True, lower_is_better=True)
    assert reward.ending == (256,)  # <|end|>, as the template writes it
    rows = RewardRows(reward)
    rows.join(TEXTS)
    found = rows.scores(CONTINUED)
    assert_plain(found, model, TEXTS, CONTINUED, ending=[256], sign=-1)
    rows.keep({"a": (0, 1)})
    assert_plain(rows.scores({"a": [[8]]}), model, {"a": [1, 2, 3, 4]}, {"a": [[8]]}, ending=[256], sign=-1)


def test_a_score_that_is_no_number_names_its_row_and_leaves_the_others(tmp_path, toy) -> None:
    model = llama(tie_word_embeddings=False)

    def damage(tensors) -> None:
        tensors["model.embed_tokens.weight"][77] = float("nan")

    change_tensors(save(tmp_path, model), damage)
    rows = RewardRows(load(tmp_path, toy))
    rows.join(TEXTS)
    with pytest.raises(ModelError, match=r"^b: a score of the reward model .*model\.embed_tokens"):
        rows.scores({"a": [[4], [5]], "b": [[7], [77]]})
    assert_plain(rows.scores({"a": [[4]], "b": [[7]]}), model, TEXTS, {"a": [[4]], "b": [[7]]})
    loose = rows.scores({"a": [[4]], "b": [[77]]}, strict=False)
    assert loose["a"] == pytest.approx([plain(model, [*TEXTS["a"], 4])], abs=TOLERANCE)
    assert math.isnan(loose["b"][0])


def test_what_cannot_score_the_base_s_tokens_is_refused_by_name(tmp_path, toy) -> None:
    other = byte_tokenizer()
    other.add_tokens(["odd"])
    save(tmp_path / "other", llama(), other)
    with pytest.raises(TokenizerMismatch, match=r"reward model .*other.* disagree on token 261: 'odd'"):
        load(tmp_path / "other", toy)
    save(tmp_path / "few", llama(vocab_size=258, pad_token_id=257))
    with pytest.raises(ModelError, match=r"258"):
        load(tmp_path / "few", toy)
    family_model("llama", tmp_path / "lm", byte_tokenizer())
    with pytest.raises(JudgeError, match="no reward model"):
        load(tmp_path / "lm", toy)
    bert = classifier("bert")
    with pytest.raises(ModelError, match="BertForSequenceClassification does not read its score"):
        reward_trunk(bert)
    rows = RewardRows(load(save(tmp_path / "short", llama(max_position_embeddings=33)), toy))
    rows.join({"request 3": list(range(31))})
    assert len(rows.scores({"request 3": [[1, 2]]})["request 3"]) == 1
    with pytest.raises(RequestError, match=r"request 3: 34 tokens are to be scored, .* at most 33"):
        rows.scores({"request 3": [[1, 2, 3]]})
