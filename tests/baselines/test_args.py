"""ARGS in a batch with caches: the tokens of a plain loop, and the passes that the equation asks for."""

import math

import pytest
import torch
from toy_arms import PROMPTS, TOKENS, each_alone
from toy_rewards import change_tensors, llama, save
from toy_rivals import plain_candidates, plain_score, table_classifier, table_model
from toys import byte_tokenizer

from genarm.baselines.args import load_args
from genarm.baselines.reward_model import RewardFolder
from genarm.decoding import GuidedRequest
from genarm.errors import ConfigError, GenarmError, ModelError, RequestError, TokenizerMismatch

CUTS = [{}, {"temperature": 0.7}, {"top_k": 3}, {"temperature": 0.0}, {"top_p": 0.8, "temperature": 1.6}]


def requests(**more) -> list[GuidedRequest]:
    """Unequal prompts and limits, and more of them than the batch has rows."""
    return [
        GuidedRequest(prompt, max_new_tokens=4 + 2 * i, seed=i, **cut, **more)
        for i, (prompt, cut) in enumerate(zip(PROMPTS, CUTS, strict=True))
    ]


@pytest.fixture(scope="module")
def reward(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reward")
    return save(folder, llama(seed=5)), llama(seed=5)


def args(toy, folder, **settings):
    return load_args(str(toy.folder), folder, **{"dtype": "float32", "k": 4, "batch_size": 3} | settings)


@pytest.mark.parametrize("mode", ["greedy", "stochastic"])
@pytest.mark.parametrize("close_turn", [False, True])
def test_a_batch_draws_what_a_plain_loop_draws(mode, close_turn, toy, reward) -> None:
    folder, model = reward
    method = args(toy, RewardFolder(folder, close_turn=close_turn), mode=mode, weight=0.8)
    asked = requests()
    asked[1] = GuidedRequest(PROMPTS[1], {"reward": 0.1}, max_new_tokens=9, seed=3)
    asked[2] = GuidedRequest(PROMPTS[2], {"reward": 0.0}, max_new_tokens=7, seed=3, ignore_eos=True)
    ending = [256] if close_turn else []

    def value(text: list[int], v: int) -> float:
        ended = close_turn and v == 256
        return plain_score(model, [*text, *([] if ended else [v]), *ending])

    answers = method.generate(asked)
    for answer, request in zip(answers, asked, strict=True):
        weight = request.weights.get("reward", 0.8)
        tokens, base_logprob, kl = plain_candidates(
            toy.model, request, value, k=4, weight=weight, greedy=mode == "greedy"
        )
        assert answer.tokens == tokens
        assert answer.base_logprob == pytest.approx(base_logprob, abs=1e-4)
        assert answer.kl == pytest.approx(kl, abs=1e-4)
    for alone, answer in zip(each_alone(method, asked), answers, strict=True):
        assert alone.tokens == answer.tokens
        assert (alone.base_logprob, alone.kl) == pytest.approx((answer.base_logprob, answer.kl), abs=1e-4)


def test_a_token_costs_one_pass_of_the_base_and_k_of_the_reward_model(toy, reward) -> None:
    method = args(toy, reward[0], k=4)
    asked = [GuidedRequest(prompt, max_new_tokens=5 + i, ignore_eos=True) for i, prompt in enumerate(PROMPTS)]
    method.generate(asked)
    prompts, tokens = sum(map(len, PROMPTS)), sum(request.max_new_tokens for request in asked)
    assert method.passes == {
        "base": prompts + tokens - len(asked),  # the last token of each is not read
        "reward": prompts + 4 * tokens,  # B + k R a token
    }
    closing = args(toy, RewardFolder(reward[0], close_turn=True), k=4)
    closing.generate(asked)
    assert closing.passes["reward"] == prompts + 4 * 2 * tokens  # each candidate and <|end|>


A, B, C = 65, 66, 67  # letters of the byte tokenizer


def test_by_hand_a_reward_outvotes_the_base(toy, tmp_path) -> None:
    """Logits 3, 1, -0.5, rewards 0, 3, 4: w 0.5 gives 3, 2.5, 1.5; w 1 3, 4, 3.5; w 3 3, 10, 11.5."""
    table_model(tmp_path / "base", {None: {A: 3.0, B: 1.0, C: -0.5}})
    table_classifier(tmp_path / "reward", {A: 0.0, B: 3.0, C: 4.0})
    base_z = 1 + math.exp(-2) + math.exp(-3.5)  # of A, B and C, over exp(3); the others have nothing
    for weight, token, below in ((0.5, A, 0.0), (1.0, B, 2.0), (3.0, C, 3.5)):
        method = load_args(str(tmp_path / "base"), tmp_path / "reward", dtype="float32", k=3, weight=weight)
        (answer,) = method.generate([GuidedRequest((1,), max_new_tokens=3)])
        assert answer.tokens == (token,) * 3
        assert answer.base_logprob == pytest.approx(3 * (-below - math.log(base_z)), abs=1e-4)
        assert answer.kl == pytest.approx(below + math.log(base_z), abs=1e-4)  # certain: -log p_base
    two = load_args(
        str(tmp_path / "base"), tmp_path / "reward", dtype="float32", k=2, weight=1.0, mode="stochastic"
    )
    asked = [GuidedRequest((1,), max_new_tokens=1, seed=seed) for seed in range(400)]
    answers = two.generate(asked)
    q = math.e / (1 + math.e)  # of B: 4 against 3; C is no candidate
    kl = q * math.log(q) + (1 - q) * math.log(1 - q) + 2 * q + math.log(base_z)
    assert answers[0].kl == pytest.approx(kl, abs=1e-4)
    share = sum(answer.tokens == (B,) for answer in answers) / 400
    assert abs(share - q) < 4 * math.sqrt(q * (1 - q) / 400)


def test_a_stream_is_the_response_and_tells_the_reward_of_each_token(toy, reward) -> None:
    folder, model = reward
    method = args(toy, folder, mode="stochastic")
    asked = [
        GuidedRequest(p, max_new_tokens=6, seed=i, return_rewards=True) for i, p in enumerate(PROMPTS[:3])
    ]
    answers, session = method.generate(asked), method.session()
    streams = [session.submit(request) for request in asked]
    for stream, answer, request in zip(streams, answers, asked, strict=True):
        pieces = list(stream)
        assert tuple(piece.token for piece in pieces) == answer.tokens == stream.response().tokens
        assert "".join(piece.text for piece in pieces) == answer.text
        for t, told in enumerate(answer.rewards):
            want = plain_score(model, [*request.prompt, *answer.tokens[: t + 1]])
            assert told.arms == {"reward": pytest.approx(want, abs=1e-4)}
    cut = method.generate([GuidedRequest(PROMPTS[0], max_new_tokens=6, seed=0, stop=(answers[0].text[2],))])
    assert cut[0].text == answers[0].text[: answers[0].text.find(answers[0].text[2])]


def test_requests_that_lose_their_slots_go_on_where_they_were(toy, reward, monkeypatch) -> None:
    method = args(toy, reward[0], mode="stochastic", batch_size=4)
    expected, step, calls = method.generate(requests()), method.policy.step, []

    def out_of_memory_once(ensemble, slots):
        calls.append(len(slots))
        if len(calls) == 4:
            raise torch.OutOfMemoryError
        return step(ensemble, slots)

    monkeypatch.setattr(method.policy, "step", out_of_memory_once)
    answers = method.generate(requests())
    assert max(calls[4:]) == 2 < max(calls[:4])
    assert [answer.tokens for answer in answers] == [answer.tokens for answer in expected]


@torch.no_grad()
def test_a_score_that_is_no_number_fails_its_request_and_no_other(toy, tmp_path, reward) -> None:
    asked = requests()
    sound = args(toy, reward[0], k=2).generate(asked)
    texts = [[*r.prompt, *a.tokens] for r, a in zip(asked, sound, strict=True)]
    tops = [toy.model(input_ids=torch.tensor([t])).logits[0, :, :TOKENS].topk(2).indices for t in texts]
    read = {*torch.cat(tops).flatten().tolist(), *(token for text in texts for token in text)}
    bad = min(set(range(256)) - read)  # a token that no other request meets

    def damage(tensors) -> None:
        tensors["model.embed_tokens.weight"][bad] = float("inf")

    change_tensors(save(tmp_path, llama(seed=5)), damage)
    asked[3] = GuidedRequest((7, bad, 3), max_new_tokens=6)
    method = args(toy, tmp_path, k=2)
    session = method.session()
    streams = [session.submit(request) for request in asked]
    for i, stream in enumerate(streams):
        if i == 3:
            with pytest.raises(
                ModelError, match=r"request 3: a score of the reward model .*no finite number"
            ):
                stream.response()
        else:
            assert stream.response().tokens == sound[i].tokens
    with pytest.raises(ModelError, match="request 3: a score of the reward model"):
        method.generate(asked)


def test_settings_and_models_that_do_not_fit_are_refused_before_weights_are_loaded(
    toy, reward, tmp_path
) -> None:
    wrong: list[tuple[dict, type[GenarmError], str]] = [
        ({"k": TOKENS + 1}, ConfigError, r"k is 262, and the base's vocabulary has 261"),
        ({"k": 0}, ConfigError, "k is 0"),
        ({"weight": math.nan}, ConfigError, "weight is nan"),
        ({"mode": "topk"}, ConfigError, "mode is 'topk'.*greedy, stochastic"),
    ]
    for settings, kind, message in wrong:
        with pytest.raises(kind, match=message):
            args(toy, reward[0], **settings)
    other = byte_tokenizer()
    other.add_tokens(["odd"])
    with pytest.raises(TokenizerMismatch, match=r"reward model .* disagree on token 261"):
        args(toy, save(tmp_path, llama(), other))
    method = args(toy, reward[0], k=TOKENS)
    assert len(method.generate([GuidedRequest((1, 2), max_new_tokens=2)])[0].tokens) == 2
    with pytest.raises(RequestError, match=r"names ARM 'positive', which is not loaded"):
        method.generate([GuidedRequest((1, 2), {"positive": 1.0})])
