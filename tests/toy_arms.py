"""Toy ARMs on disk, and the plain loop that every decoder must equal: whole passes, no cache, one request."""

import copy
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from toys import toy_model
from transformers import AutoConfig, AutoModelForCausalLM

from genarm.decoding import GuidedRequest, GuidedResponse, TokenRewards
from genarm.models import ModelSource
from genarm.models.arm import write_card
from genarm.types import ArmCard

TOKENS = 261  # of the byte tokenizer; the toys score 264
END = 256
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
# Of the toy's four layers: splits at 0 (all), 1, 2 and 3, ranks, scales and targets all different.
ARMS: dict[str, dict[str, object]] = {
    "all": {"r": 2},
    "middle": {"r": 5, "layers_to_transform": [2, 3], "target_modules": ["q_proj", "down_proj"]},
    "top": {
        "r": 3,
        "lora_alpha": 9,
        "use_rslora": True,
        "layers_to_transform": [3],
        "target_modules": LINEAR,
    },
    "attention": {
        "target_modules": ["v_proj", "o_proj"],
        "layers_to_transform": [1],
        "alpha_pattern": {"o_proj": 2},
    },
}
PROMPTS = [(1, 2, 3), tuple(range(40, 70)), (9,), (7, 7, 200, 3), tuple(range(100, 111))]


def save_arms(root: Path, source: ModelSource, model) -> dict[str, Path]:
    """The folder of each of ARMS."""
    return {
        name: make_arm(root / name, source, model, seed=seed, **settings)
        for seed, (name, settings) in enumerate(ARMS.items())
    }


def make_arm(
    folder: Path, source: ModelSource, model, *, seed: int, zeros: bool = False, **lora: object
) -> Path:
    """A LoRA with random factors, saved by PEFT, with its card; as it starts, with `zeros`."""
    settings: dict[str, object] = {"r": 4, "lora_alpha": 6, "target_modules": "all-linear", **lora}
    peft = get_peft_model(copy.deepcopy(model), LoraConfig(task_type="CAUSAL_LM", **settings))
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in peft.named_parameters():
        if "lora_" in name and not zeros:
            parameter.data.normal_(0, 0.2, generator=generator)
    peft.save_pretrained(folder)
    write_card(folder, card(source))
    return folder


def card(source: ModelSource) -> ArmCard:
    return ArmCard(
        dimension="toy",
        model_id=source.id,
        model_revision=None,
        model_weights_sha256=source.weights_sha256,
        guides_id=source.id,
        guides_revision=None,
        tokenizer_sha256=source.tokenizer_sha256,
        adapter_sha256="",
        beta=0.1,
        weight=1.0,
        pairs_sha256="0" * 64,
        data_md5=None,
        git_commit=None,
    )


def other_model(toy, folder: Path, **config: object):
    """A smaller model with the toy's tokenizer, saved to `folder`."""
    model = toy_model(seed=7, layers=2, **config)
    model.save_pretrained(folder)
    toy.tokenizer.save_pretrained(folder)
    return model


def family_model(family: str, folder: Path, tokenizer, **config: object):
    """A model of another family in the toy's shape, saved to `folder`."""
    llama = toy_model().config
    values = {k: getattr(llama, k) for k in (
        "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads", "max_position_embeddings", "eos_token_id", "bos_token_id", "pad_token_id",
    )}  # fmt: skip
    torch.manual_seed(1)
    config = values | {"initializer_range": 0.3} | config
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **config)).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model


def mixed_requests(weights) -> list[GuidedRequest]:
    """Unequal prompts, limits, temperatures and cuts; weights in rotation."""
    cuts = [{}, {"temperature": 0.7}, {"top_k": 5}, {"temperature": 0.0}, {"top_p": 0.8, "temperature": 1.6}]
    return [
        GuidedRequest(prompt, weights[i % len(weights)], max_new_tokens=6 + 3 * i, seed=i, **cut)
        for i, (prompt, cut) in enumerate(zip(PROMPTS, cuts, strict=True))
    ]


def each_alone(decoder, requests) -> list[GuidedResponse]:
    """Every request in a session of its own, so that not even a slot is shared."""
    return [decoder.generate([request])[0] for request in requests]


def as_peft_loads_it(model, folder: Path):
    return PeftModel.from_pretrained(copy.deepcopy(model), folder).eval()


@torch.no_grad()
def plain_loop(
    base,
    arms: Mapping[str, torch.nn.Module],
    request: GuidedRequest,
    vocab: int = TOKENS,
    ends=(END,),
    starts: Mapping[str, torch.nn.Module] | None = None,
):
    """(tokens, base_logprob, mean kl) of one request; `starts` has those that are not the base."""
    uniforms = np.random.Generator(np.random.Philox(key=request.seed)).random((request.max_new_tokens, 3))[
        :, 2
    ]
    tokens: list[int] = []
    base_logprob, kl = 0.0, 0.0
    for u in uniforms:
        ids = torch.tensor([[*request.prompt, *tokens]])
        reads = {name: _logprobs(model, ids, vocab) for name, model in _all(base, arms, starts).items()}
        scores = reads[""] + sum(w * _rewards(reads, name, request) for name, w in request.weights.items())
        guided = scores.log_softmax(-1)
        token = _draw(scores, request, u)
        tokens.append(token)
        base_logprob += float(reads[""][token])
        kl += float((guided.exp() * (guided - reads[""])).sum())
        if token in ends:
            break
    return tuple(tokens), base_logprob, kl / len(tokens)


def _all(base, arms, starts) -> dict[str, torch.nn.Module]:
    """Base, ARMs and, by the ARM's name and `'s start`, the starts that are not the base."""
    return {"": base, **arms, **{f"{name}'s start": model for name, model in (starts or {}).items()}}


def _rewards(reads, name: str, request: GuidedRequest) -> torch.Tensor:
    """What a weight of 1 adds, by the definition."""
    if name not in request.contrasted:
        return reads[name]
    return reads[name] - reads.get(f"{name}'s start", reads[""])


def assert_equals_plain(answers, requests, base, arms, vocab: int = TOKENS, starts=None) -> None:
    """Tokens identical, log-probability and KL within 1e-5 a token."""
    for answer, request in zip(answers, requests, strict=True):
        tokens, base_logprob, kl = plain_loop(base, arms, request, vocab, starts=starts)
        assert answer.tokens == tokens
        assert answer.base_logprob == pytest.approx(base_logprob, rel=1e-5, abs=1e-5 * len(tokens))
        assert answer.kl == pytest.approx(kl, rel=1e-5, abs=1e-5)
        assert answer.kl > 0 or not any(request.weights.values())
        assert answer.kl == 0 or any(request.weights.values())


@torch.no_grad()
def replay(base, arms, request: GuidedRequest, tokens, vocab: int = TOKENS, starts=None):
    """(rewards of every token, mean kl) of a response, however it was drawn."""
    ids = torch.tensor([[*request.prompt, *tokens]])
    reads = {
        name: model(input_ids=ids).logits[0, len(request.prompt) - 1 : -1, :vocab].float().log_softmax(-1)
        for name, model in _all(base, arms, starts).items()
    }
    used = {name: w for name, w in request.weights.items() if w > 0}
    told = {name: _rewards(reads, name, request) for name in used}
    guided = (reads[""] + sum(w * told[name] for name, w in used.items())).log_softmax(-1)
    drawn = torch.arange(len(tokens)), torch.tensor(tokens)
    logprobs = {
        name: read[drawn].tolist() for name, read in {"": reads[""], **told, "guided": guided}.items()
    }
    rewards = [
        TokenRewards(logprobs[""][t], logprobs["guided"][t], {name: logprobs[name][t] for name in used})
        for t in range(len(tokens))
    ]
    return rewards, float((guided.exp() * (guided - reads[""])).sum(-1).mean())


def assert_replays(
    answer: GuidedResponse, request: GuidedRequest, base, arms, tolerance: float = 1e-5, starts=None
) -> None:
    """Rewards, log-probability and KL of the response are those of passes over the whole of it."""
    rewards, kl = replay(base, arms, request, answer.tokens, starts=starts)
    flat = [(r.base, r.guided, *(r.arms[name] for name in sorted(r.arms))) for r in answer.rewards]
    want = [(r.base, r.guided, *(r.arms[name] for name in sorted(r.arms))) for r in rewards]
    assert [sorted(r.arms) for r in answer.rewards] == [sorted(r.arms) for r in rewards]
    np.testing.assert_allclose(np.array(flat), np.array(want), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(answer.kl, kl, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(
        answer.base_logprob, sum(r.base for r in rewards), rtol=tolerance, atol=tolerance
    )


def _logprobs(model, ids: torch.Tensor, vocab: int) -> torch.Tensor:
    return model(input_ids=ids).logits[0, -1, :vocab].float().log_softmax(-1)


def chances_of(scores: torch.Tensor, request: GuidedRequest) -> list[float]:
    """What a request draws from, token by token; not normalised after a cut."""
    if request.temperature == 0:
        return [float(v == int(scores.argmax())) for v in range(len(scores))]
    chances = (scores / request.temperature).softmax(-1).double().tolist()
    ranked = sorted(range(len(chances)), key=lambda v: -chances[v])
    ranked = ranked[: request.top_k or None]
    total = sum(chances[v] for v in ranked)
    kept, mass = set(), 0.0
    for v in ranked:
        if mass >= request.top_p:
            break
        kept.add(v)
        mass += chances[v] / total
    return [chance if v in kept else 0.0 for v, chance in enumerate(chances)]


def _draw(scores: torch.Tensor, request: GuidedRequest, u: float) -> int:
    chances = chances_of(scores, request)
    left = u * sum(chances)
    for v, chance in enumerate(chances):
        left -= chance
        if left < 0:
            return v
    return max(v for v, chance in enumerate(chances) if chance)


@torch.no_grad()
def enumerated(
    base, arms, request: GuidedRequest, length: int, least: float = 1e-3, vocab: int = TOKENS, starts=None
):
    """Chance of every likely beginning of a response, up to `length` tokens; the rest together is ()."""
    ended, open_ = {}, {(): 1.0}
    for _ in range(length):
        grown = {}
        for tokens, chance in open_.items():
            ids = torch.tensor([[*request.prompt, *tokens]])
            models = _all(base, {name: arms[name] for name in request.weights}, starts)
            reads = {name: _logprobs(model, ids, vocab) for name, model in models.items()}
            scores = reads[""] + sum(
                w * _rewards(reads, name, request) for name, w in request.weights.items()
            )
            chances = torch.tensor(chances_of(scores, request), dtype=torch.float64)
            for v in (chance * chances / chances.sum() > least).nonzero().flatten().tolist():
                grown[*tokens, v] = chance * float(chances[v] / chances.sum())
        ended |= {tokens: chance for tokens, chance in grown.items() if tokens[-1] == END}
        open_ = {tokens: chance for tokens, chance in grown.items() if tokens[-1] != END}
    likely = ended | open_
    return likely | {(): 1 - sum(likely.values())}


@torch.no_grad()
def strong_base(toy, folder: Path, noise: float, layers: int = 12):
    """The toy with further layers, which do nothing but for some noise; saved to `folder`."""
    model = toy_model(layers=layers)
    model.load_state_dict(toy.model.state_dict(), strict=False)
    for layer in model.model.layers[toy.model.config.num_hidden_layers :]:
        for part in (layer.self_attn.o_proj, layer.mlp.down_proj):
            part.weight *= noise
    model.save_pretrained(folder)
    toy.tokenizer.save_pretrained(folder)
    return model
