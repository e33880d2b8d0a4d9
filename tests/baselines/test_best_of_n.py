"""Best of n: its candidates, its choice, its passes and its bound, by hand and against plain passes."""

import dataclasses
import math

import pytest
import torch
from toy_arms import as_peft_loads_it, make_arm, plain_loop
from toy_rewards import llama, save

from genarm.baselines.best_of_n import BestOfN, candidate_seed
from genarm.baselines.guided import Guided, base
from genarm.baselines.selection import ByJudge, ByLikelihood, ByRewardModel
from genarm.config import SamplingConfig
from genarm.config.judge import RewardModelConfig
from genarm.decoding import GuidedRequest, load_decoder
from genarm.errors import ConfigError, JudgeError, RequestError
from genarm.evaluation.respond import respond
from genarm.judges.base import ScoreJudge, by_text
from genarm.judges.reward.scorer import RewardScorer
from genarm.models import resolve
from genarm.types import Message, Prompt

torch.set_num_threads(1)
PROMPTS = ("hi", [Message("user", "one"), Message("assistant", "two"), Message("user", "why?")])


@pytest.fixture(scope="module")
def world(toy, tmp_path_factory):
    folder = make_arm(tmp_path_factory.mktemp("best") / "arm", resolve(str(toy.folder)), toy.model, seed=3)
    engine = load_decoder(resolve(str(toy.folder)), {"arm": folder}, dtype="float32", batch_size=8)
    return engine, as_peft_loads_it(toy.model, folder)


def asked(method, **settings):
    return [
        GuidedRequest(method.prompt(p), seed=5 + i, max_new_tokens=9, **settings)
        for i, p in enumerate(PROMPTS)
    ]


def drawn(candidates):
    return [(c.request, c.number, c.response.tokens) for c in candidates]


def by_length(tie=0.0):
    return ByJudge(ScoreJudge(by_text(lambda text: float(len(text))), tie))


def test_the_candidates_of_four_are_the_first_of_those_of_sixteen_and_the_first_is_the_request(toy, world):
    engine, _ = world
    few, many = BestOfN(base(engine), by_length(), 4), BestOfN(base(engine), by_length(), 16)
    requests = asked(few)
    assert asked(many) == requests
    of_few, of_many = (method.ranked(requests) for method in (few, many))
    for request, (four, _), (sixteen, _) in zip(requests, of_few, of_many, strict=True):
        assert drawn(four) == drawn(sixteen[:4]) and len(sixteen) == 16
        assert four[0].request == request and [c.number for c in four] == [0, 1, 2, 3]
        assert [c.response.tokens for c in four] == [plain_loop(toy.model, {}, c.request)[0] for c in four]
        assert len({c.response.tokens for c in sixteen}) > 8  # they do differ
    assert candidate_seed(7, 0) == 7 and candidate_seed(7, 1) == 11706270012945061913  # fixed for good


def test_of_one_it_is_the_request_itself_and_nothing_is_scored(world):
    engine, _ = world

    def refuse(text):
        raise AssertionError

    method = BestOfN(Guided(engine, {"arm": 0.5}), ByJudge(ScoreJudge(by_text(refuse))), 1)
    requests = asked(method)
    guided = [dataclasses.replace(r, weights={"arm": 0.5}) for r in requests]
    assert method.generate(requests) == engine.generate(guided)


def test_the_best_is_kept_and_a_tie_goes_to_the_first(world):
    engine, _ = world
    method = BestOfN(base(engine), by_length(), 6)
    requests = asked(method)
    for answer, (candidates, best) in zip(method.generate(requests), method.ranked(requests), strict=True):
        lengths = [len(c.response.text) for c in candidates]
        assert answer == candidates[best].response and best == lengths.index(max(lengths))
    equal = BestOfN(base(engine), ByJudge(ScoreJudge(by_text(lambda text: 1.0))), 6)
    asked(equal)
    plain = base(engine).generate(requests)
    assert [a.tokens for a in equal.generate(requests)] == [a.tokens for a in plain]


def test_prompts_are_read_once_for_all_candidates(world):
    """9 tokens a response in 4 candidates of 2 prompts: a prompt's last token is read by each candidate."""
    engine, _ = world
    method = BestOfN(base(engine), by_length(), 4)
    requests = asked(method, ignore_eos=True)
    method.generate(requests)
    prompts = sum(len(r.prompt) - 1 for r in requests)
    assert method.passes == {"base": prompts + 2 * 4 * 9}


@torch.no_grad()
@pytest.mark.parametrize("reward", ["arm", "implicit"])
def test_by_likelihood_is_by_the_sum_of_plain_log_probabilities(toy, world, reward):
    engine, arm = world
    method = BestOfN(base(engine), ByLikelihood(engine, "arm", reward), 5)
    requests = [GuidedRequest((1, 2, 3), seed=i, max_new_tokens=7) for i in range(4)]
    chosen = method.ranked(requests)
    for candidates, best in chosen:
        scores = []
        for c in candidates:
            ids = torch.tensor([[*c.request.prompt, *c.response.tokens]])
            of = [m(input_ids=ids).logits[0, 2:-1, :261].log_softmax(-1) for m in (arm, toy.model)]
            rewards = of[0] - of[1] if reward == "implicit" else of[0]
            scores.append(float(rewards[torch.arange(ids.shape[1] - 3), ids[0, 3:]].sum()))
        assert best == scores.index(max(scores))
    assert len({best for _, best in chosen}) > 1
    read = sum(len(c.response.tokens) for candidates, _ in chosen for c in candidates)
    # 20 candidates are read 8 at a time, so their one prompt is read three times; it is drawn from once.
    # What the base thinks of its own responses is known from drawing them.
    assert method.passes == {"base": 2 + read, "arm": 3 * 2 + read}


def test_by_a_reward_model_it_is_the_one_that_the_model_scores_highest_alone(world, tmp_path):
    engine, _ = world
    folder = save(tmp_path, llama(seed=1))
    scorer = RewardScorer(resolve(str(folder)), RewardModelConfig(model=str(folder), dtype="float32"))
    method = BestOfN(base(engine), ByRewardModel(scorer), 4)
    requests = asked(method)
    conversations = [Prompt((Message("user", "hi"),)), Prompt(tuple(PROMPTS[1]))]
    answers = method.generate(requests)
    read = method.passes["reward"]
    for prompt, answer, (candidates, best) in zip(
        conversations, answers, method.ranked(requests), strict=True
    ):
        alone = [scorer.score_all([prompt], [c.response.text])[0] for c in candidates]
        assert best == alone.index(max(alone)) and answer == candidates[best].response
    texts = [c.response.text for candidates, _ in method.ranked(requests) for c in candidates]
    # Bytes are tokens: prompts with their marks, the response with its two.
    written = sum(len(r.prompt) - 1 for r in requests) * 4
    assert read == written + sum(len(engine.tokenizer(t)["input_ids"]) for t in texts) + 8 * 2


def test_responses_to_prompts_need_nothing_more_of_it_than_of_a_decoder(world):
    """`respond` lets the decoder render the prompts, so the judge knows what they say."""
    engine, _ = world
    said = []

    def score(prompt, text):
        said.append(prompt)
        return float(len(text))

    prompts = [Prompt((Message("user", "hi"),)), Prompt(tuple(PROMPTS[1]))]
    method, sampling = BestOfN(base(engine), ByJudge(ScoreJudge(score)), 3), SamplingConfig(max_new_tokens=5)
    rows = respond(prompts, method, engine.tokenizer, weights={}, sampling=sampling)
    assert {p.id for p in said} == {p.id for p in prompts} == {r.prompt_id for r in rows}


def test_a_score_that_is_no_number_is_told_with_prompt_and_candidate(world, tmp_path):
    engine, _ = world

    class Once:
        """NaN for the third text that it sees."""

        def __init__(self):
            self.seen = []

        def __call__(self, text):
            self.seen += [text] * (text not in self.seen)
            return math.nan if self.seen.index(text) == 2 else 1.0

    method = BestOfN(base(engine), ByJudge(ScoreJudge(by_text(Once()))), 4)
    requests = asked(method)
    name = Prompt((Message("user", "hi"),)).id
    with pytest.raises(JudgeError, match=f"candidate 2 of prompt {name}: the scorer gave nan"):
        method.generate(requests)

    class Broken(RewardScorer):
        def score_all(self, prompts, responses):
            return [0.0] * 5 + [math.inf] + [0.0] * 2

    folder = save(tmp_path, llama())
    broken = Broken(resolve(str(folder)), RewardModelConfig(model=str(folder)))
    method = BestOfN(base(engine), ByRewardModel(broken), 4)
    requests, other = asked(method), Prompt(tuple(PROMPTS[1])).id
    with pytest.raises(JudgeError, match=f"the reward model gave inf for candidate 1 of prompt {other}"):
        method.generate(requests)


def test_what_is_refused_before_any_work(world):
    engine, _ = world
    method = BestOfN(base(engine), by_length(), 2)
    with pytest.raises(RequestError, match="request 1: 600 prompt tokens and 64 new ones"):
        method.generate([GuidedRequest((1,)), GuidedRequest((1,) * 600)])
    assert not method.passes
    with pytest.raises(RequestError, match="was not made by this method"):
        method.generate([GuidedRequest((1, 2), max_new_tokens=2)])
    with pytest.raises(ConfigError, match="n = 0"):
        BestOfN(base(engine), by_length(), 0)
    with pytest.raises(ConfigError, match="only compares two responses"):
        BestOfN(base(engine), ByJudge(object()), 2)
    with pytest.raises(ConfigError, match="chooses by ARM 'no'"):
        ByLikelihood(engine, "no")


def test_a_session_answers_all_at_once_when_the_first_stream_is_read(world):
    engine, _ = world
    method = BestOfN(base(engine), by_length(), 3)
    requests = asked(method)
    session = method.session()
    streams = [session.submit(r) for r in (*requests, requests[0])]
    streams[2].cancel()
    assert not method.passes
    pieces = [list(stream) for stream in streams[:2]]
    assert [s.response() for s in streams[:2]] == method.generate(requests)
    for stream, of in zip(streams, pieces, strict=False):
        assert "".join(p.text for p in of) == stream.response().text
        assert tuple(p.token for p in of) == stream.response().tokens
    assert streams[2].response().finish_reason == "cancelled" and not streams[2].response().tokens
    with pytest.raises(RequestError, match="exceed the context"):
        session.submit(GuidedRequest((1,) * 600))
