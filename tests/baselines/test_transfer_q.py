"""Transfer Q* in a batch with caches: the tokens of a plain loop, and the passes of its equations."""

import math

import pytest
from toy_arms import PROMPTS, as_peft_loads_it, each_alone, make_arm, other_model
from toy_rewards import change_tensors, llama, save
from toy_rivals import plain_candidates, plain_rollout, plain_score, table_classifier, table_model
from toys import toy_model

from genarm.baselines.reward_model import RewardFolder
from genarm.baselines.transfer_q import load_transfer_q
from genarm.decoding import GuidedRequest
from genarm.errors import ConfigError, ModelError, RequestError, TokenizerMismatch
from genarm.models import resolve

SETTINGS = {"dtype": "float32", "k": 3, "rollout": 4, "batch_size": 2, "weight": 0.7}


@pytest.fixture(scope="module")
def models(toy, tmp_path_factory):
    """Folders and models: an adapter on the base, a model of its own, and two reward models."""
    root = tmp_path_factory.mktemp("rivals")
    adapter = make_arm(root / "dpo", resolve(str(toy.folder)), toy.model, seed=4, r=3)
    other = other_model(toy, root / "other")
    return {
        "adapter": (adapter, as_peft_loads_it(toy.model, adapter)),
        "other": (root / "other", other),
        "reward": (save(root / "reward", llama(seed=5)), llama(seed=5)),
        "baseline": (save(root / "baseline", llama(seed=6)), llama(seed=6)),
    }


def requests() -> list[GuidedRequest]:
    cuts = [{}, {"temperature": 0.7}, {"ignore_eos": True}, {}, {"top_p": 0.8}]
    return [
        GuidedRequest(prompt, max_new_tokens=3 + i, seed=i, **cut)
        for i, (prompt, cut) in enumerate(zip(PROMPTS, cuts, strict=True))
    ]


@pytest.mark.parametrize(
    ("aligned", "mode", "settings", "beta"),
    [
        ("adapter", "greedy", {}, None),
        ("adapter", "stochastic", {}, 3.0),
        ("other", "greedy", {"rollout": 1}, 3.0),
        ("other", "stochastic", {"close": True}, None),
    ],
    ids=["adapter", "adapter, indirect", "other, indirect, one token", "other, closed"],
)
def test_a_batch_draws_what_a_plain_loop_draws(aligned, mode, settings, beta, toy, models) -> None:
    (folder, follows), (place, reward) = models[aligned], models["reward"]
    close, rollout = "close" in settings, settings.get("rollout", 4)
    more = {} if beta is None else {"baseline_reward": models["baseline"][0], "beta": beta}
    method = load_transfer_q(
        str(toy.folder),
        RewardFolder(place, close_turn=close),
        folder,
        **SETTINGS | {"mode": mode, "rollout": rollout} | more,
    )
    asked = requests()
    answers = method.generate(asked)
    for answer, request in zip(answers, asked, strict=True):

        def value(text: list[int], v: int, ignore: bool = request.ignore_eos) -> float:
            whole = [*text, v]
            whole += plain_rollout(follows, whole, rollout, ignore_eos=ignore)
            if close:
                whole = [*(whole[:-1] if whole[-1] == 256 and not ignore else whole), 256]
            score = plain_score(reward, whole)
            if beta is None:
                return score
            return math.exp((score - plain_score(models["baseline"][1], whole)) / beta) * score

        tokens, base_logprob, kl = plain_candidates(
            toy.model, request, value, k=3, weight=0.7, greedy=mode == "greedy"
        )
        assert answer.tokens == tokens
        assert (answer.base_logprob, answer.kl) == pytest.approx((base_logprob, kl), abs=1e-4)
    assert [answer.tokens for answer in each_alone(method, asked)] == [a.tokens for a in answers]


@pytest.mark.parametrize("rewards", [1, 2])
def test_a_token_costs_what_the_paper_s_equation_asks_for(rewards, tmp_path) -> None:
    """B + k L of the aligned model + k (L + 1) of each reward model; no end token cuts a rollout here."""
    table_model(tmp_path / "base", {None: {65: 1.0, 66: 0.0, 67: -1.0}})
    table_model(tmp_path / "aligned", {None: {65: 1.0}})
    table_classifier(tmp_path / "reward", {65: 1.0})
    more = {"baseline_reward": tmp_path / "reward"} if rewards == 2 else {}
    method = load_transfer_q(
        str(tmp_path / "base"), tmp_path / "reward", tmp_path / "aligned", **SETTINGS | more
    )
    asked = [GuidedRequest(prompt, max_new_tokens=4 + i) for i, prompt in enumerate(PROMPTS)]
    method.generate(asked)
    k, length, prompts = 3, 4, sum(map(len, PROMPTS))
    tokens = sum(request.max_new_tokens for request in asked)
    assert method.passes == {
        "base": prompts + tokens - len(asked),  # the last token of each is not read
        "aligned": prompts + k * length * tokens,
        "reward": rewards * (prompts + k * (length + 1) * tokens),
    }


A, B, X, Y, END = 65, 66, 88, 89, 256


def test_by_hand_a_candidate_is_worth_what_follows_it(tmp_path) -> None:
    """After A the aligned model writes X, of reward 2; after B it writes Y, of reward 3 and baseline 1."""
    table_model(tmp_path / "base", {None: {A: 1.0, B: 0.5}, A: {END: 9.0}, B: {END: 9.0}})
    table_model(
        tmp_path / "aligned", {None: {A: 0.0}, A: {X: 0.0}, B: {Y: 0.0}, X: {END: 0.0}, Y: {END: 0.0}}
    )
    table_classifier(tmp_path / "reward", {X: 2.0, Y: 3.0, END: -1.0})
    table_classifier(tmp_path / "baseline", {X: 2.0, Y: 5.0, END: -1.0})
    base, aligned = str(tmp_path / "base"), tmp_path / "aligned"
    request = GuidedRequest((1,), max_new_tokens=5, return_rewards=True)

    def told(**settings):
        values = {"dtype": "float32", "k": 2, "rollout": 1} | settings
        method = load_transfer_q(base, tmp_path / "reward", aligned, **values)
        (answer,) = method.generate([request])
        assert (answer.tokens[1:], answer.finish_reason) == ((END,), "stop")
        return answer.tokens[0], answer.rewards[0].arms["reward"]

    assert told() == (B, pytest.approx(3.0, abs=1e-4))  # 1 + 2 against 0.5 + 3
    assert told(weight=0.25) == (A, pytest.approx(2.0, abs=1e-4))  # 1 + 0.5 against 0.5 + 0.75
    # indirect: A has exp((2 - 2) / 2) 2 = 2, B exp((3 - 5) / 2) 3 = 3 / e = 1.104
    assert told(baseline_reward=tmp_path / "baseline") == (A, pytest.approx(2.0, abs=1e-4))
    assert told(baseline_reward=tmp_path / "baseline", beta=1e9) == (B, pytest.approx(3.0, abs=1e-4))
    # Two tokens of rollout reach the end token, whose reward is -1 after both; a third is not drawn.
    assert told(rollout=2) == (A, pytest.approx(-1.0, abs=1e-4))
    assert told(rollout=9) == (A, pytest.approx(-1.0, abs=1e-4))


def test_an_adapter_shares_the_base_s_weights(toy, models) -> None:
    method = load_transfer_q(str(toy.folder), models["reward"][0], models["adapter"][0], **SETTINGS)
    assert method.parts[0].trunk is method.parts[1].trunk


def test_settings_and_models_that_do_not_fit_are_refused(toy, models, tmp_path) -> None:
    base, reward = str(toy.folder), models["reward"][0]
    with pytest.raises(ConfigError, match="rollout is 0"):
        load_transfer_q(base, reward, models["other"][0], **SETTINGS | {"rollout": 0})
    with pytest.raises(ConfigError, match=r"beta is 0\.0"):
        load_transfer_q(base, reward, models["other"][0], beta=0.0, **SETTINGS)
    tokenizer = type(toy.tokenizer).from_pretrained(toy.folder)
    tokenizer.add_tokens(["odd"])
    save(tmp_path, toy_model(), tokenizer)
    with pytest.raises(TokenizerMismatch, match=r"'aligned' and base .* disagree on token 261: 'odd'"):
        load_transfer_q(base, reward, tmp_path, **SETTINGS)
    method = load_transfer_q(base, reward, models["other"][0], **SETTINGS)
    assert method.context == 512 - 4
    with pytest.raises(RequestError, match=r"request 0: 509 tokens .* and 4 that are read beyond them"):
        method.generate([GuidedRequest((1,) * 9, max_new_tokens=500)])


def test_numbers_that_are_none_are_told_with_their_cause(toy, models, tmp_path) -> None:
    def damage(tensors) -> None:
        tensors["model.embed_tokens.weight"][201] = float("inf")

    asked = [GuidedRequest((1, 2, 3), max_new_tokens=2), GuidedRequest((7, 201), max_new_tokens=2)]
    place = save(tmp_path / "aligned", other_model(toy, tmp_path / "aligned", tie_word_embeddings=False))
    change_tensors(place, damage)
    method = load_transfer_q(str(toy.folder), models["reward"][0], place, **SETTINGS)
    streams = [method.session().submit(request) for request in asked]
    assert len(streams[0].response().tokens) == 2
    with pytest.raises(ModelError, match=r"request 1: the logits of the aligned model are not numbers"):
        method.generate(asked)
    folders = models["reward"][0], models["baseline"][0]
    method = load_transfer_q(
        str(toy.folder), folders[0], models["other"][0], baseline_reward=folders[1], beta=1e-6, **SETTINGS
    )
    with pytest.raises(ModelError, match=r"request 0: its rewards are finite, .*hint: raise beta"):
        method.generate(asked[:1])
