"""Contrast, log p_base + w (log p_arm - log p_start), equals the plain loop: float32 toys, 1e-5 a token.

Differences of rounded numbers are compared to 1e-4: how they round depends on the processor.
"""

import dataclasses

import pytest
import torch
from toy_arms import (
    PROMPTS,
    as_peft_loads_it,
    assert_equals_plain,
    assert_replays,
    card,
    each_alone,
    make_arm,
    mixed_requests,
    other_model,
    save_arms,
)
from toys import toy_model

from genarm.decoding import GuidedRequest, load_decoder
from genarm.decoding.runner.cuda_graph import CudaGraphStep
from genarm.errors import AdapterError, RequestError
from genarm.models import resolve
from genarm.models.arm import write_card

torch.set_num_threads(1)

WEIGHTS = [
    {"all": 0.6, "small": 0.3},
    {},
    {"full": 0.8},
    {"own": 1.4, "top": 0.2},
    {"small": 2.0, "all": 0.0},
]
GUIDANCE = ["contrast", "sum", {"small": "contrast"}, "contrast", {"all": "contrast", "full": "contrast"}]


@pytest.fixture(scope="module")
def world(toy, tmp_path_factory):
    """Folders of ARMs of every kind, each as a whole model, and the starts that are not the base.

    LoRAs on the base, one of them on all layers; `small`, a LoRA on a smaller model; `full`, all weights of
    that smaller model trained; `own`, all weights of the base trained.
    """
    root = tmp_path_factory.mktemp("contrast")
    source = resolve(str(toy.folder))
    folders = save_arms(root, source, toy.model)
    small = other_model(toy, root / "other")
    other = resolve(str(root / "other"))
    folders["small"] = make_arm(root / "small", other, small, seed=9)
    models = {n: as_peft_loads_it(small if n == "small" else toy.model, f) for n, f in folders.items()}
    models["full"], folders["full"] = full_model(toy, root / "full", other, seed=11, layers=2)
    models["own"], folders["own"] = full_model(toy, root / "own", source, seed=12)
    return folders, models, {"small": small, "full": small}


def full_model(toy, folder, start, **toy_settings):
    model = toy_model(**toy_settings)
    model.save_pretrained(folder)
    toy.tokenizer.save_pretrained(folder)
    write_card(folder, card(start))
    return model, folder


def decoder_of(toy, world, *names, **settings):
    folders = {name: world[0][name] for name in names or world[0]}
    return load_decoder(
        resolve(str(toy.folder)), folders, **{"dtype": "float32", "contrast": True} | settings
    )


def mixed(**changes):
    """Requests of both guidances, of one ARM, several and none, in rotation."""
    requests = [r for turn in range(3) for r in mixed_requests(WEIGHTS[turn:] + WEIGHTS[:turn])]
    return [
        dataclasses.replace(r, guidance=GUIDANCE[i % 5 - i // 5], seed=i, **changes)
        for i, r in enumerate(requests)
    ]


@pytest.mark.parametrize("settings", [{}, {"strategy": "separate"}, {"batch_size": 3}])
def test_contrast_is_that_of_the_plain_loop(toy, world, settings):
    """Base's LoRAs, a smaller model's, full models of both: mixed with sum, in batches that change."""
    decoder = decoder_of(toy, world, **settings)
    requests = mixed()
    assert_equals_plain(decoder.generate(requests), requests, toy.model, world[1], starts=world[2])


def test_steps_that_are_recorded_give_the_same(toy, world):
    requests = mixed()
    plain = decoder_of(toy, world).generate(requests)
    decoder = decoder_of(toy, world)
    for part in decoder.parts:
        part.trunk.recorder.enabled = True
    assert [a.tokens for a in decoder.generate(requests)] == [a.tokens for a in plain]
    assert all(part.trunk.recorder.enabled for part in decoder.parts)


def test_a_recorded_step_that_reuses_its_memory_gives_the_same(toy, world, monkeypatch):
    """As a CUDA graph does: what it returns is overwritten by its next replay, while drafts still need it."""

    def record(step):
        logits = step._step()
        return lambda: logits.copy_(step._step())

    requests = mixed(temperature=0.0, top_k=0, top_p=1.0, return_rewards=True)
    plain = decoder_of(toy, world, "small", "full", "own", "all", "top", speculate=True).generate(requests)
    monkeypatch.setattr(CudaGraphStep, "record", record)
    decoder = decoder_of(toy, world, "small", "full", "own", "all", "top", speculate=True)
    for part in decoder.parts:
        part.trunk.recorder.enabled = True
    recorded = decoder.generate(requests)
    assert [a.tokens for a in recorded] == [a.tokens for a in plain]
    for answer, request in zip(recorded, requests, strict=True):
        assert_replays(answer, request, toy.model, world[1], 1e-4, world[2])


def test_rewards_are_differences_and_streams_bring_them(toy, world):
    decoder = decoder_of(toy, world, batch_size=2)
    requests = mixed(return_rewards=True)
    session = decoder.session()
    streams = [session.submit(request) for request in requests]
    for stream, request in zip(streams, requests, strict=True):
        pieces = list(stream)
        answer = stream.response()
        assert answer.rewards == tuple(piece.rewards for piece in pieces)
        assert_replays(answer, request, toy.model, world[1], 1e-4, world[2])  # 2.6e-5 on a processor of AMD's


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_drafting_and_verifying_draw_what_contrast_draws(toy, world, temperature):
    """Greedy tokens are those of the plain loop; sampled ones do not depend on the batch. Measured right."""
    requests = mixed(temperature=temperature, top_k=0, top_p=1.0, return_rewards=True)
    decoder = decoder_of(toy, world, "small", "full", "own", "all", "top", speculate=True)
    answers = decoder.generate(requests)
    assert 0 < decoder.policy.acceptance < 1
    for answer, request in zip(answers, requests, strict=True):
        assert_replays(answer, request, toy.model, world[1], 1e-4, world[2])  # differences of rounded numbers
    if temperature:
        assert [a.tokens for a in each_alone(decoder, requests)] == [a.tokens for a in answers]
    else:
        assert_equals_plain(answers, requests, toy.model, world[1], starts=world[2])


def test_below_one_contrast_is_the_sum_at_another_weight_and_temperature(toy, world):
    """p_base^(1-w) p_arm^w = (p_base p_arm^(w/(1-w)))^(1-w): greedy tokens and log-probabilities to 1e-4.

    A log-probability at temperature 1 / (1 - w) is not told, so the sum's scores are worked by hand.
    """
    decoder = decoder_of(toy, world, "all")
    for seed, w in enumerate((0.1, 0.5, 0.9)):
        contrast = GuidedRequest(
            PROMPTS[seed], {"all": w}, max_new_tokens=24, seed=seed, guidance="contrast", return_rewards=True
        )
        summed = dataclasses.replace(
            contrast, weights={"all": w / (1 - w)}, guidance="sum", temperature=1 / (1 - w)
        )
        left, right = decoder.generate([contrast, summed])
        assert left.tokens == right.tokens
        greedy = [dataclasses.replace(r, temperature=0.0) for r in (contrast, summed)]
        assert len({answer.tokens for answer in decoder.generate(greedy)}) == 1
        ids = torch.tensor([[*contrast.prompt, *left.tokens]])
        with torch.no_grad():
            base, arm = (
                m(input_ids=ids).logits[0, :, :261].log_softmax(-1) for m in (toy.model, world[1]["all"])
            )
        scores = ((base + w / (1 - w) * arm) * (1 - w)).log_softmax(-1)[len(contrast.prompt) - 1 : -1]
        told = scores[torch.arange(len(left.tokens)), list(left.tokens)]
        torch.testing.assert_close(torch.tensor([r.guided for r in left.rewards]), told, atol=1e-4, rtol=0)


def test_at_weight_one_a_lora_on_the_base_answers_alone(toy, world):
    decoder = decoder_of(toy, world, "all")
    request = GuidedRequest(
        PROMPTS[1], {"all": 1.0}, max_new_tokens=30, guidance="contrast", return_rewards=True
    )
    (answer,) = decoder.generate([request])
    ids = torch.tensor([[*request.prompt, *answer.tokens]])
    with torch.no_grad():
        arm = world[1]["all"](input_ids=ids).logits[0, len(request.prompt) - 1 : -1, :261].log_softmax(-1)
    told = arm[torch.arange(len(answer.tokens)), list(answer.tokens)]
    torch.testing.assert_close(torch.tensor([r.guided for r in answer.rewards]), told, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("strategy", ["shared", "separate"])
def test_an_untrained_adapter_changes_nothing_at_any_weight(toy, tmp_path, strategy):
    """Sum would sharpen: the same adapter moves the text there."""
    source = resolve(str(toy.folder))
    folder = make_arm(tmp_path / "arm", source, toy.model, seed=0, zeros=True)
    decoder = load_decoder(source, {"arm": folder}, dtype="float32", strategy=strategy)
    base, *guided = decoder.generate(
        [
            GuidedRequest(PROMPTS[3], {"arm": w}, max_new_tokens=30, seed=1, guidance="contrast")
            for w in (0.0, 0.3, 1.0, 50.0)
        ]
    )
    assert [a.tokens for a in guided] == [base.tokens] * 3
    assert max(a.kl for a in guided) < 1e-4
    (summed,) = decoder.generate([GuidedRequest(PROMPTS[3], {"arm": 1.0}, max_new_tokens=30, seed=1)])
    assert summed.kl > 0.1


def test_a_full_models_start_is_loaded_where_contrast_is_wanted(toy, world, tmp_path):
    """Its weights are shared with the base or another part where they are the same."""
    assert len(decoder_of(toy, world, "own").parts) == 2  # trained from the base
    assert len(decoder_of(toy, world, "full", "small").parts) == 3  # base, full, and small with its start
    assert len(decoder_of(toy, world, "full").parts) == 3
    without = decoder_of(toy, world, "full", contrast=False)
    assert len(without.parts) == 2
    request = GuidedRequest(PROMPTS[0], {"full": 1.0}, guidance="contrast")
    with pytest.raises(RequestError, match=r"request 0 contrasts ARM 'full' .*contrast=True\) loads"):
        without.generate([request])
    _, folder = full_model(toy, tmp_path / "lost", resolve(str(toy.folder)), seed=3)
    write_card(folder, dataclasses.replace(card(resolve(str(toy.folder))), model_id=str(tmp_path / "gone")))
    with pytest.raises(AdapterError, match=r"ARM 'lost' was trained from .*gone.*guidance 'sum'"):
        load_decoder(resolve(str(toy.folder)), {"lost": folder}, dtype="float32", contrast=True)
