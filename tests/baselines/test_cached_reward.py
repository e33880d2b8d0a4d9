"""A reward model that reads a prompt once for all its candidates: scores of whole passes, counted by hand."""

import pytest
import torch
from toy_arms import END
from toy_rewards import change_tensors, llama, save

from genarm.baselines.best_of_n import BestOfN
from genarm.baselines.guided import base
from genarm.baselines.reward_model import load_reward_model
from genarm.baselines.selection import ByCachedReward, Candidate
from genarm.decoding import GuidedRequest, GuidedResponse, load_decoder
from genarm.errors import JudgeError
from genarm.models import load_tokenizer, resolve

torch.set_num_threads(1)
ANSWERS = {(1, 2, 3): [(4,), (5, 6, END), (7, 8, 9, 10)], (40, 41): [(9, 9), (END,)], (9,): [(3, 3, 3)]}
CANDIDATES = [
    Candidate(GuidedRequest(prompt), GuidedResponse(tokens, "", "stop", 0.0, 0.0), number)
    for prompt, answers in ANSWERS.items()
    for number, tokens in enumerate(answers)
]


def selector(toy, folder, close_turn):
    source = resolve(str(toy.folder))
    tokenizer = load_tokenizer(source)
    reward = load_reward_model(
        folder, base=source, tokenizer=tokenizer, dtype="float32", close_turn=close_turn
    )
    return ByCachedReward(reward, [END], rows=2)


def unasked(ids):
    raise AssertionError("tokens are all that it reads")


@torch.no_grad()
@pytest.mark.parametrize("close_turn", [False, True])
def test_scores_are_those_of_whole_passes_and_a_prompt_is_read_once(toy, tmp_path, close_turn):
    model = llama(seed=2)
    chosen = selector(toy, save(tmp_path, model), close_turn)
    expected, read = [], sum(map(len, ANSWERS))
    for candidate in CANDIDATES:
        tokens = candidate.response.tokens
        if close_turn:  # the toy's template closes a turn with the end token, which is not doubled
            tokens = (*(t for t in tokens if t != END), END)
        ids = torch.tensor([[*candidate.request.prompt, *tokens]])
        expected.append(float(model.score(model.base_model(input_ids=ids).last_hidden_state[:, -1])))
        read += len(tokens)
    shuffled = [CANDIDATES[i] for i in (5, 0, 3, 1, 4, 2)]
    assert chosen.scores(CANDIDATES, unasked) == pytest.approx(expected, abs=1e-4)
    assert chosen.passes == {"reward": read}
    assert chosen.scores(shuffled, unasked) == pytest.approx(
        [expected[i] for i in (5, 0, 3, 1, 4, 2)], abs=1e-4
    )


def test_the_candidate_whose_score_is_no_number_is_named(toy, tmp_path):
    folder = save(tmp_path, llama(seed=2))
    change_tensors(folder, lambda tensors: tensors["model.embed_tokens.weight"][8].fill_(torch.nan))
    with pytest.raises(JudgeError, match=r"gave nan for candidate 2 of the prompt \[1, 2, 3, ...\]"):
        selector(toy, folder, False).scores(CANDIDATES, unasked)


def test_best_of_n_by_it_needs_no_text(toy, tmp_path):
    engine = load_decoder(resolve(str(toy.folder)), {}, dtype="float32", batch_size=8)
    by_reward = selector(toy, save(tmp_path, llama(seed=2)), True)
    method = BestOfN(base(engine), by_reward, 4)
    requests = [GuidedRequest((1, 2, 3), seed=i, max_new_tokens=6, ignore_eos=True) for i in range(3)]
    for candidates, best in method.ranked(requests):
        scores = by_reward.scores(candidates, unasked)
        assert best == scores.index(max(scores))
    # The three requests share their prompt: 3 tokens of it, and 6 and the closing one of 12 responses.
    assert method.passes == {"base": 2 + 12 * 6, "reward": 3 + 12 * 7}
