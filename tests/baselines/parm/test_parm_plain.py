"""At one vector a PARM is a plain LoRA: of its definition, in training, on disk and in decoding, to 1e-5."""

import copy
import dataclasses

import pytest
import torch
from torch.testing import assert_close
from toy_arms import as_peft_loads_it, make_arm, mixed_requests
from toy_parm import DIMENSIONS, R1, R2, delta_weights, make_parm, merged

from genarm.baselines.guided import Guided
from genarm.baselines.parm.adapter import NAME, add_bilinear
from genarm.baselines.parm.plain import write_plain
from genarm.config import LoraConfig
from genarm.decoding import load_decoder
from genarm.errors import AdapterError, RequestError
from genarm.models import resolve
from genarm.models.arm import read_card
from genarm.models.bilinear import Conditioning

VECTORS = [{"loud": 1.0}, {"loud": 0.3, "brief": 0.7}, {"brief": 1.0}]
IDS = torch.tensor([[5, 9, 200, 3, 77, 21]])


@pytest.fixture(scope="module")
def parm(toy, tmp_path_factory):
    return make_parm(tmp_path_factory.mktemp("parm") / "parm", resolve(str(toy.folder)), toy.model, seed=5)


@torch.no_grad()
def logps(model) -> torch.Tensor:
    return model(input_ids=IDS).logits[0].log_softmax(-1)


@pytest.mark.parametrize("vector", VECTORS)
def test_the_folder_of_a_vector_is_that_lora(toy, parm, tmp_path, vector):
    """As PEFT loads it, against the definition added to the base's weights."""
    card = write_plain(parm, vector, tmp_path / "plain", dimension="loud")
    plain = as_peft_loads_it(toy.model, tmp_path / "plain")
    assert_close(logps(plain), logps(merged(toy.model, parm, vector)), rtol=1e-5, atol=1e-4)
    assert plain.peft_config["default"].r == R1 + R2
    for path, delta in delta_weights(parm, vector).items():
        layer = plain.get_submodule(f"base_model.model.{path}")
        assert_close(layer.get_delta_weight("default"), delta.float(), rtol=1e-5, atol=1e-5)
    assert read_card(tmp_path / "plain") == card
    assert card.dimension == "loud"
    assert card.params["preference"] == {"loud": 0.0, "brief": 0.0} | vector


def test_a_batch_of_vectors_is_decoded_as_the_folders_of_each(toy, parm, tmp_path):
    source = resolve(str(toy.folder))
    plain = {str(i): tmp_path / str(i) for i in range(len(VECTORS))}
    for folder, vector in zip(plain.values(), VECTORS, strict=True):
        write_plain(parm, vector, folder)
    by_vector = load_decoder(source, {"parm": parm}, dtype="float32")
    by_folder = load_decoder(source, plain, dtype="float32")
    requests = [
        dataclasses.replace(request, weights={"parm": 0.8}, preference=vector, return_rewards=True)
        for request in mixed_requests([{}])
        for vector in VECTORS
    ]
    as_plain = [
        dataclasses.replace(request, weights={str(i % 3): 0.8}, preference={})
        for i, request in enumerate(requests)
    ]
    answers, wanted = by_vector.generate(requests), by_folder.generate(as_plain)
    for i, (answer, want) in enumerate(zip(answers, wanted, strict=True)):
        assert answer.tokens == want.tokens
        assert answer.kl == pytest.approx(want.kl, rel=1e-5, abs=1e-5)
        rewards = [reward.arms["parm"] for reward in answer.rewards]
        assert rewards == pytest.approx([r.arms[str(i % 3)] for r in want.rewards], rel=1e-5, abs=1e-5)


def test_a_method_has_the_vector_for_all_requests(toy, parm):
    """And counts one ARM's tokens, whatever the number of dimensions."""
    engine = load_decoder(resolve(str(toy.folder)), {"parm": parm}, dtype="float32")
    request = mixed_requests([{}])[1]
    method = Guided(engine, {"parm": 0.8}, preference=VECTORS[1])
    (answer,) = method.generate([request])
    read = len(request.prompt) + len(answer.tokens) - 1
    assert method.passes == {"base": read, "arm": read}
    own = dataclasses.replace(request, preference=VECTORS[1])
    assert Guided(engine, {"parm": 0.8}).generate([own]) == [answer]
    with pytest.raises(RequestError, match="has a preference of its own"):
        method.generate([own])


def test_what_trains_has_the_gradients_of_the_definition(toy):
    """From the gradient G of each whole weight: dB1 = s G A1' W1', dM_i = s p_i B2' G A2', and so on."""
    lora = LoraConfig(rank=R1 + R2, alpha=3.0 * (R1 + R2) / R2, layers=2)
    conditioning, p = Conditioning(DIMENSIONS, R1, R2), torch.tensor([0.3, 0.7])
    adapted, vector = add_bilinear(copy.deepcopy(toy.model).double(), lora, conditioning, seed=0)
    assert_close(logps(adapted), logps(copy.deepcopy(toy.model).double()))  # B starts at 0
    layers = {
        n.removeprefix("base_model.model."): m for n, m in adapted.named_modules() if hasattr(m, "lora_W1")
    }
    whole = copy.deepcopy(toy.model).double().requires_grad_(True)
    generator = torch.Generator().manual_seed(3)
    for path, layer in layers.items():
        for factor in (layer.lora_A, layer.lora_B):
            factor[NAME].weight.data = (
                torch.randn(factor[NAME].weight.shape, generator=generator).double() / 5
            )
        for factor in (layer.lora_W1, layer.lora_W2):
            factor[NAME].data = torch.randn(factor[NAME].shape, generator=generator).double()
        a, b, w1, w2 = factors(layer)
        delta = b[:, :R1] @ w1 @ a[:R1] + b[:, R1:] @ (p[0] * w2[0] + p[1] * w2[1]) @ a[R1:]
        whole.get_submodule(path).weight.data += 3.0 / R2 * delta.detach()
    with vector.at(p):
        output = adapted(input_ids=IDS).logits[0].log_softmax(-1)
        output[:, 7].sum().backward()
    expected = whole(input_ids=IDS).logits[0].log_softmax(-1)
    expected[:, 7].sum().backward()
    assert_close(output, expected, rtol=1e-7, atol=1e-7)
    assert len(layers) == 14
    for path, layer in layers.items():
        a, b, w1, w2 = factors(layer)
        slope = 3.0 / R2 * whole.get_submodule(path).weight.grad
        mixed = p[0] * w2[0] + p[1] * w2[1]
        up_1, up_2 = slope @ a[:R1].T, slope @ a[R1:].T  # by B1 W1 and by B2 W2(p)
        wanted = {
            "b": torch.cat([up_1 @ w1.T, up_2 @ mixed.T], 1),
            "a": torch.cat([(b[:, :R1] @ w1).T @ slope, (b[:, R1:] @ mixed).T @ slope]),
            "w1": b[:, :R1].T @ up_1,
            "w2": torch.stack([p[i] * b[:, R1:].T @ up_2 for i in (0, 1)]),
        }
        got = zip(["a", "b", "w1", "w2"], (f.grad for f in factors(layer)), strict=True)
        for name, gradient in got:
            assert_close(gradient, wanted[name], rtol=1e-6, atol=1e-8, msg=f"{path} {name}")


def factors(layer) -> tuple[torch.Tensor, ...]:
    return (
        layer.lora_A[NAME].weight, layer.lora_B[NAME].weight, layer.lora_W1[NAME], layer.lora_W2[NAME]
    )  # fmt: skip


def test_other_vectors_and_folders_are_refused(toy, parm, tmp_path):
    with pytest.raises(RequestError, match="sums to 2"):
        write_plain(parm, {"loud": 1, "brief": 1}, tmp_path / "plain")
    with pytest.raises(RequestError, match="not conditioned on 'kind'"):
        write_plain(parm, {"kind": 1}, tmp_path / "plain")
    arm = make_arm(tmp_path / "arm", resolve(str(toy.folder)), toy.model, seed=0)
    with pytest.raises(AdapterError, match="is no PARM: peft_type is 'LORA'"):
        write_plain(arm, {"loud": 1}, tmp_path / "plain")
    assert not (tmp_path / "plain").exists()
