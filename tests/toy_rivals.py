"""The plain loops that ARGS and Transfer Q* must equal: whole passes without a cache, one at a time."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from toy_arms import END, TOKENS, _draw
from toy_rewards import llama, save
from toys import byte_tokenizer, toy_model

from genarm.decoding import GuidedRequest


@torch.no_grad()
def table_model(folder: Path, logits: Mapping[int | None, Mapping[int, float]]) -> None:
    """A model whose next token depends on the last one alone, by a table; None stands for all others.

    A token that the table does not name has the logit -60.
    """
    model = toy_model(layers=1, tie_word_embeddings=False)
    place = _by_last_token(model.model, [last for last in logits if last is not None])
    model.lm_head.weight[:] = -60 / 32**0.5
    for last, row in logits.items():
        for token, logit in row.items():
            model.lm_head.weight[token, place.get(last, 0)] = logit / 32**0.5
    save(folder, model, byte_tokenizer())


@torch.no_grad()
def table_classifier(folder: Path, scores: Mapping[int, float]) -> None:
    """A reward model whose score depends on the last token alone, by a table; 0 for all others."""
    model = llama(num_hidden_layers=1)
    place = _by_last_token(model.model, list(scores))
    model.score.weight[:] = 0
    for token, score in scores.items():
        model.score.weight[0, place[token]] = score / 32**0.5
    save(folder, model, byte_tokenizer())


def _by_last_token(body, tokens: Sequence[int]) -> dict[int | None, int]:
    """Let a body's last state [32] be sqrt(32) in one place, which tells the last token, and 0 elsewhere."""
    layer, place = body.layers[0], {token: i for i, token in enumerate(tokens, start=1)}
    layer.self_attn.o_proj.weight[:] = 0
    layer.mlp.down_proj.weight[:] = 0
    body.embed_tokens.weight[:] = 0
    for token in range(len(body.embed_tokens.weight)):
        body.embed_tokens.weight[token, place.get(token, 0)] = 10  # beside which the norm's eps is nothing
    return {**place}


@torch.no_grad()
def plain_score(model, text: Sequence[int]) -> float:
    """The score of one text alone, read at its last token."""
    states = model.base_model(input_ids=torch.tensor([list(text)]), use_cache=False).last_hidden_state
    return float(model.score(states[:, -1])[0, 0])


@torch.no_grad()
def plain_rollout(model, text: Sequence[int], length: int, *, ignore_eos: bool = False) -> list[int]:
    """The likeliest tokens that follow a text, `length` at most, up to an end token."""
    drawn: list[int] = []
    last = text[-1]
    while len(drawn) < length and (ignore_eos or last != END):
        logits = model(input_ids=torch.tensor([[*text, *drawn]])).logits[0, -1, :TOKENS]
        drawn.append(last := int(logits.argmax()))
    return drawn


@torch.no_grad()
def plain_candidates(
    base,
    request: GuidedRequest,
    value: Callable[[list[int], int], float],
    *,
    k: int,
    weight: float,
    greedy: bool,
):
    """(tokens, base_logprob, mean kl) of one request; `value(text, v)` is the worth of a candidate."""
    stream = np.random.Generator(np.random.Philox(key=request.seed))
    uniforms = stream.random((request.max_new_tokens, 3))[:, 2]
    tokens: list[int] = []
    base_logprob, kl = 0.0, 0.0
    for u in uniforms:
        text = [*request.prompt, *tokens]
        logits = base(input_ids=torch.tensor([text])).logits[0, -1, :TOKENS]
        logprobs = logits.log_softmax(-1)
        scores = torch.full_like(logits, -torch.inf)
        for v in logits.topk(k).indices.tolist():
            scores[v] = logits[v] + (weight * value(text, v) if weight else 0)
        policy = scores.log_softmax(-1)
        if greedy:
            token = int(scores.argmax())
            kl -= float(logprobs[token])
        else:
            token = _draw(scores, request, u)
            inside = policy.exp() > 0
            kl += float((policy.exp() * (policy - logprobs))[inside].sum())
        tokens.append(token)
        base_logprob += float(logprobs[token])
        if token == END and not request.ignore_eos:
            break
    return tuple(tokens), base_logprob, kl / len(tokens)
