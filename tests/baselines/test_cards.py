"""CARDS equals a plain loop of whole passes without a cache, in any batch; its arithmetic by hand."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from toy_arms import END, PROMPTS, TOKENS, mixed_requests
from toy_rewards import change_tensors, llama, save

from genarm.baselines.calibration import target_reward
from genarm.baselines.cards import Cards
from genarm.baselines.reward_model import load_reward_model
from genarm.baselines.seeds import candidate_seed
from genarm.baselines.segments import CardsSettings, Growth, divergence, divergence_of_best
from genarm.decoding import GuidedRequest, load_decoder
from genarm.decoding.sampling import BatchSampling, distribution, draw
from genarm.errors import ConfigError, ModelError, RequestError
from genarm.models import load_tokenizer, resolve

torch.set_num_threads(1)
SETTINGS = CardsSettings(target=1.5, entropy=3.4, beta=0.5, shortest=2, longest=5, tries=3)
CLOSING = (256,)  # what the toy's template writes after a response


@pytest.fixture(scope="module")
def world(toy, tmp_path_factory):
    model = llama(seed=2)
    folder = save(tmp_path_factory.mktemp("cards"), model)
    engine = load_decoder(resolve(str(toy.folder)), {}, dtype="float32", batch_size=3)
    return engine, model, folder


def reward_of(toy, folder, close_turn=False):
    base = resolve(str(toy.folder))
    tokenizer = load_tokenizer(base)
    return load_reward_model(folder, base=base, tokenizer=tokenizer, dtype="float32", close_turn=close_turn)


def requests_of():
    sampled = [r for r in mixed_requests([{}]) if r.temperature and len(r.prompt) > 1]
    more = [dataclasses.replace(r, seed=50 + i, max_new_tokens=23) for i, r in enumerate(sampled)]
    return [*sampled, *more]


@torch.no_grad()
def plain_cards(base, reward, request, settings, closing=()):
    """(tokens, log p_base, summed KL estimate, tokens read by each model, segments taken as the best)."""

    def rewarded(tokens):
        ends = bool(closing) and tokens[-1:] == [END] and len(tokens) > len(request.prompt)
        ids = torch.tensor([[*(tokens[:-1] if ends else tokens), *closing]])
        return float(reward.score(reward.base_model(input_ids=ids).last_hidden_state[:, -1])[0, 0])

    def uniforms(tries):
        key = candidate_seed(request.seed, tries)
        return np.random.Generator(np.random.Philox(key=key)).random((request.max_new_tokens, 3))

    sampling = BatchSampling.of(
        np.array([request.temperature], dtype=np.float32), np.array([request.top_k]),
        np.array([request.top_p], dtype=np.float32), torch.device("cpu"),
    )  # fmt: skip
    prompt, n = list(request.prompt), request.max_new_tokens
    first = (1 - settings.alpha) * rewarded(prompt) + settings.alpha * settings.target
    tokens, logprob, kl, best_taken = [], 0.0, 0.0, 0
    reads = {"base": len(prompt), "reward": len(prompt) + len(closing)}
    pending = 0  # tokens of an accepted segment that the base has not read
    refusals = 0  # of the whole response
    while True:
        refused = []
        reads["base"] += pending
        while True:
            u, segment, of_segment, over = uniforms(refusals), [], 0.0, False
            while len(segment) < settings.longest and not over:
                ids = torch.tensor([[*prompt, *tokens, *segment]])
                logits = base(input_ids=ids).logits[:, -1, :TOKENS]
                reads["base"] += bool(segment)
                logprobs = logits[0].log_softmax(-1)
                entropy = float(-(logprobs.exp() * logprobs).sum())
                if len(segment) >= settings.shortest and entropy >= settings.entropy:
                    break
                place = len(tokens) + len(segment)
                token = int(draw(distribution(logits, sampling), torch.tensor([u[place, 2]]))[0])
                segment.append(token)
                of_segment += float(logprobs[token])
                over = token == END or place + 1 == n
            whole = [*tokens, *segment]
            unread = 1 if over or len(segment) == settings.longest else 0
            given = rewarded([*prompt, *whole])
            reads["reward"] += len(segment) - (bool(closing) and token == END) + len(closing)
            tau = min(first + len(whole) * (settings.target - first) / n, settings.target)
            if u[len(whole) - 1, 1] < math.exp(min(0.0, (given - tau) / settings.beta)):
                kl += min(0.0, (given - tau) / settings.beta) + sum(1 / (k + 1) for k in range(len(refused)))
                pending = unread
                break
            refused.append((given, segment, of_segment, over))
            refusals += 1
            if len(refused) == settings.tries:
                rewards = [r for r, *_ in refused]
                which = rewards.index(max(rewards))
                _, segment, of_segment, over = refused[which]
                kl += math.log(settings.tries) - (settings.tries - 1) / settings.tries
                best_taken += 1
                pending = unread if which == settings.tries - 1 else len(segment)
                if which < settings.tries - 1 and not over:
                    reads["reward"] += len(segment) + len(closing)
                break
        tokens, logprob = [*tokens, *segment], logprob + of_segment
        if over:
            return tuple(tokens), logprob, kl, reads, best_taken


@pytest.mark.parametrize("close_turn", [False, True])
def test_it_is_the_plain_loop_alone_and_in_a_batch_and_counts_what_it_reads(toy, world, close_turn):
    engine, model, folder = world
    requests = requests_of()
    method = Cards(engine, reward_of(toy, folder, close_turn), SETTINGS)
    answers = method.generate(requests)
    reads, taken = {"base": 0, "reward": 0}, 0
    for request, answer in zip(requests, answers, strict=True):
        closing = CLOSING if close_turn else ()
        tokens, logprob, kl, read, best = plain_cards(toy.model, model, request, SETTINGS, closing)
        assert answer.tokens == tokens
        assert answer.base_logprob == pytest.approx(logprob, abs=1e-5 * len(tokens))
        assert answer.kl == pytest.approx(kl / len(tokens), rel=1e-4, abs=1e-4)
        assert answer.finish_reason == ("stop" if tokens[-1] == END else "length")
        reads = {part: reads[part] + n for part, n in read.items()}
        taken += best
    assert method.passes == reads
    assert taken and reads["base"] > 1.5 * sum(len(a.tokens) for a in answers)  # much was refused
    assert [a.tokens for a in method.generate(requests[::-1])] == [a.tokens for a in answers[::-1]]


def test_no_random_number_is_used_twice(toy, world, monkeypatch):
    """What a refused segment was drawn with says where it led: nothing after it is drawn with that again."""
    engine, _, folder = world
    used, uniform = {}, Growth.uniform

    def noted(growth, which, position):
        number = uniform(growth, which, position)
        used.setdefault((growth.name, which, position, number), set()).add(growth.refusals)
        return number

    monkeypatch.setattr(Growth, "uniform", noted)
    answers = Cards(engine, reward_of(toy, folder, False), SETTINGS).generate(requests_of())
    assert max(map(max, used.values())) > 2 and len(used) > sum(len(a.tokens) for a in answers)
    assert all(len(refusals) == 1 for refusals in used.values())


def test_where_all_is_accepted_it_is_the_base_with_the_same_seed(toy, world):
    engine, _, folder = world
    method = Cards(engine, reward_of(toy, folder), dataclasses.replace(SETTINGS, target=-1e3))
    requests = [dataclasses.replace(r, stop=("a", "e")) for r in requests_of()]
    answers, plain = method.generate(requests), engine.generate(requests)
    assert [(a.tokens, a.text, a.finish_reason) for a in answers] == [
        (a.tokens, a.text, a.finish_reason) for a in plain
    ]
    assert [a.base_logprob for a in answers] == pytest.approx([a.base_logprob for a in plain], rel=1e-5)
    assert {a.kl for a in answers} == {0.0}


def test_the_threshold_and_the_chance_by_hand():
    """r(x) = -1, r* = 3, alpha 1/2: r0 = 1, so halfway tau is 2; a reward of 1.3 is 0.7 below: e^-1."""
    settings = CardsSettings(target=3.0)
    assert [settings.threshold(t, 128, -1.0) for t in (0, 64, 128)] == [1.0, 2.0, 3.0]
    assert math.exp(settings.log_acceptance(1.3, 2.0)) == pytest.approx(0.36787944)
    assert settings.log_acceptance(2.5, 2.0) == 0  # never more than certain
    assert settings.threshold(0, 128, 5.0) == 3.0  # 4, but never above r*
    assert divergence(-0.5, 3) == pytest.approx(-0.5 + 1 + 1 / 2 + 1 / 3)
    assert divergence_of_best(20) == pytest.approx(2.04573227)


def test_the_estimated_divergence_is_unbiased():
    """Three segments of chance 0.5, 0.3, 0.2, accepted with 1, 0.2, 0.1; the KL in closed form."""
    p, a = np.array([0.5, 0.3, 0.2]), np.array([1.0, 0.2, 0.1])
    policy = p * a / (p @ a)
    exact = float(policy @ np.log(policy / p))
    generator, found = np.random.default_rng(0), []
    for _ in range(20000):
        refused = 0
        while generator.random() >= a[segment := generator.choice(3, p=p)]:
            refused += 1
        found.append(divergence(float(np.log(a[segment])), refused))
    error = float(np.std(found) / math.sqrt(len(found)))
    assert abs(np.mean(found) - exact) < 4 * error < 0.05


def test_the_target_is_a_quantile_of_what_the_base_earns(toy, world):
    engine, model, folder = world
    requests = requests_of()
    answers, rewards = engine.generate(requests), []
    with torch.no_grad():
        for request, answer in zip(requests, answers, strict=True):
            whole = torch.tensor([[*request.prompt, *(t for t in answer.tokens if t != END), *CLOSING]])
            rewards.append(float(model.score(model.base_model(input_ids=whole).last_hidden_state[:, -1])))
    found = target_reward(engine, reward_of(toy, folder, close_turn=True), requests, 0.75)
    assert found == pytest.approx(float(np.quantile(rewards, 0.75)), abs=1e-4)
    with pytest.raises(ConfigError, match="quantile 1.5"):
        target_reward(engine, reward_of(toy, folder), requests, 1.5)


def test_a_reward_that_is_no_number_names_its_request_and_the_others_are_answered(toy, world, tmp_path):
    engine, _, _ = world
    folder = save(tmp_path, llama(seed=2, tie_word_embeddings=False))
    change_tensors(folder, lambda tensors: tensors["model.embed_tokens.weight"][77].fill_(torch.nan))
    method = Cards(engine, reward_of(toy, folder), SETTINGS)
    heard = []
    with pytest.raises(ModelError, match="request 1: a score of the reward model .* no finite number"):
        method.generate(
            [GuidedRequest(p, max_new_tokens=4, top_k=1) for p in ((1, 2), (1, 77), (4, 5))], heard.append
        )
    assert sum(heard) == 8


def test_what_is_refused_before_any_work(toy, world):
    engine, _, folder = world
    method = Cards(engine, reward_of(toy, folder), SETTINGS)
    for wrong, message in (
        (GuidedRequest((1, 2), temperature=0), "request 1 has temperature 0"),
        (GuidedRequest((1,)), "request 1 has a prompt of one token"),
        (GuidedRequest((1, 2), return_rewards=True), "token by token"),
        (GuidedRequest((1, 2) * 250), "request 1: 500 prompt tokens"),
    ):
        with pytest.raises(RequestError, match=message):
            method.generate([GuidedRequest((1, 2)), wrong])
    assert not method.passes
    for wrong in ({"target": math.nan}, {"beta": 0}, {"alpha": 2}, {"shortest": 9, "longest": 4}):
        with pytest.raises(ConfigError, match="cards: "):
            CardsSettings(**{"target": 1.0} | wrong)


def test_a_session_gives_whole_responses(toy, world):
    engine, _, folder = world
    method = Cards(engine, reward_of(toy, folder), SETTINGS)
    request = GuidedRequest(PROMPTS[0], seed=4, max_new_tokens=12)
    stream = method.session().submit(request)
    assert tuple(p.token for p in stream) == stream.response().tokens == method.generate([request])[0].tokens
