"""All weights in training: their gradients are those of the definition, and the ARM is a model of its own."""

import logging
import shutil

import pytest
import torch
from torch.testing import assert_close
from toy_arms import other_model
from toy_training import (
    SHAPES,
    TOLERANCE,
    changed,
    loss_and_gradient,
    preferences,
    run,
    slow_logps,
    token_pairs,
)
from toys import toy_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from genarm import models
from genarm.decoding import GuidedRequest, load_decoder
from genarm.errors import AdapterError, ConfigError, TokenizerMismatch
from genarm.models.arm import is_full, read_card
from genarm.training.collate import collate
from genarm.training.evaluate import evaluate_arm
from genarm.training.full import make_all_trainable
from genarm.training.logps import pair_logps, prepare
from genarm.training.packed_attention import BLOCKS
from genarm.training.qlora import check_quantisation
from genarm.training.transformers_hooks import attention_implementation

pytestmark = pytest.mark.usefixtures("cache")

FULL = changed(method="full", learning_rate=0.01)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("shape", ["llama", "gemma2, window 4, both soft caps"])
def test_every_weight_gets_the_gradient_of_the_definition(shape, tied, monkeypatch):
    """The head's too, whether it is the embeddings themselves or not, in chunks of three tokens."""
    monkeypatch.setattr("genarm.training.head.LEAST", 3)
    monkeypatch.setattr("genarm.training.head.CPU_BUDGET", 0)
    torch.manual_seed(0)
    model = toy_model(tie_word_embeddings=tied) if shape == "llama" else SHAPES[shape]().eval()
    pairs = token_pairs()
    make_all_trainable(model, "float32")
    loss, gradient = loss_and_gradient(model, slow_logps(model, pairs))
    head = model.get_output_embeddings().weight.grad.clone()
    assert head.norm() > 0.01 * gradient.norm()
    initial = attention_implementation(model)
    assert prepare(model, pairs)
    chosen = attention_implementation(model)
    for packed in (True, False):
        model.set_attn_implementation(chosen if packed else initial)
        fast_loss, fast_gradient = loss_and_gradient(model, pair_logps(model, collate(pairs, packed=packed)))
        assert_close(fast_loss, loss, rtol=1e-5, atol=1e-5)
        assert (fast_gradient - gradient).norm() < TOLERANCE[torch.float32, "all"] * gradient.norm()
        assert_close(model.get_output_embeddings().weight.grad, head, rtol=1e-3, atol=1e-4)


def test_weights_are_float32_and_passes_those_of_a_narrow_model(caplog):
    """As bfloat16 decoding will compute it; the blocks of attention meet q, k and v of one width."""
    pairs = token_pairs()
    narrow, wide = toy_model().bfloat16(), make_all_trainable(toy_model(), "bfloat16")
    with torch.no_grad():
        expected = pair_logps(narrow, collate(pairs, packed=False))
        exact = pair_logps(toy_model(), collate(pairs, packed=False))
    with caplog.at_level(logging.WARNING):
        assert prepare(wide, pairs)
    assert (attention_implementation(wide), caplog.text) == (BLOCKS, "")
    logps = pair_logps(wide, collate(pairs))
    tokens = torch.tensor([[len(p.chosen), len(p.rejected)] for p in pairs])
    assert ((logps - expected).abs() / tokens < 0.1).all() and (exact != expected).all()
    _, gradient = loss_and_gradient(wide, logps)
    assert gradient.dtype == torch.float32 and gradient.isfinite().all() and gradient.norm() > 0.01


@pytest.fixture(scope="module")
def trained_in_full(toy, tmp_path_factory, cache):
    folder = tmp_path_factory.mktemp("full")
    return folder / "arm", run(toy, folder, FULL)


def test_trained_in_full_it_is_a_plain_folder_that_guides_the_base(trained_in_full, toy):
    arm, result = trained_in_full
    assert result.metrics["validation/accuracy_before"] < 0.85 < result.metrics["validation/accuracy"]
    assert is_full(arm) and read_card(arm) == result.card
    assert "model.safetensors" in {path.name for path in arm.iterdir()}
    assert not [path.name for path in arm.iterdir() if path.suffix in (".bin", ".pt")]
    assert str(toy.folder) not in (arm / "config.json").read_text()
    assert AutoTokenizer.from_pretrained(arm).chat_template == toy.tokenizer.chat_template
    request = GuidedRequest((1, 2, 3), {"loud": 1.0}, max_new_tokens=8, temperature=0.0)
    decoder = load_decoder(models.resolve(str(toy.folder)), {"loud": arm}, dtype="float32")
    (answer,) = decoder.generate([request])
    arm_model = AutoModelForCausalLM.from_pretrained(arm)
    ids = torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        scores = sum(m(ids).logits[0, -1, :261].log_softmax(-1) for m in (toy.model, arm_model))
    assert answer.tokens[0] == scores.argmax() and answer.kl > 0


def test_in_full_it_gives_the_same_bytes_and_the_precision_of_decoding(
    trained_in_full, toy, tmp_path, caplog
):
    assert run(toy, tmp_path / "again", FULL).card == trained_in_full[1].card
    narrow = run(toy, tmp_path / "narrow", FULL, dtype="bfloat16")
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "narrow" / "arm").dtype == torch.bfloat16
    assert narrow.metrics["validation/accuracy"] > 0.85
    source = models.resolve(str(toy.folder))
    with caplog.at_level(logging.WARNING):
        load_decoder(source, {"loud": tmp_path / "narrow" / "arm"}, dtype="bfloat16")
        assert not caplog.text
        load_decoder(source, {"loud": tmp_path / "narrow" / "arm"}, dtype="float32")
    assert "trained on bfloat16 and is read in float32" in caplog.text
    assert "base.dtype: bfloat16 stops this" in caplog.text


def test_an_altered_model_is_noticed_and_shares_nothing(trained_in_full, toy, tmp_path):
    arm, _ = trained_in_full
    with pytest.raises(AdapterError, match="no PEFT folder.*strategy 'separate'"):
        load_decoder(models.resolve(str(toy.folder)), {"loud": arm}, dtype="float32", strategy="shared")
    broken = shutil.copytree(arm, tmp_path / "arm")
    with (broken / "model.safetensors").open("ab") as file:
        file.write(b" ")
    with pytest.raises(AdapterError, match="altered or cut short"):
        load_decoder(models.resolve(str(toy.folder)), {"loud": broken}, dtype="float32")


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_smaller_model_with_the_same_tokens_guides_the_base(toy, tmp_path, caplog, method):
    other_model(toy, tmp_path / "small")
    config = changed(method=method, model=str(tmp_path / "small"))
    result = run(toy, tmp_path, config)
    small, base = models.resolve(str(tmp_path / "small")), models.resolve(str(toy.folder))
    card = result.card
    assert (card.model_id, card.model_weights_sha256) == (small.id, small.weights_sha256)
    assert (card.guides_id, card.tokenizer_sha256) == (base.id, base.tokenizer_sha256)
    assert is_full(tmp_path / "arm") == (method == "full")
    decoder = load_decoder(base, {"loud": tmp_path / "arm"}, dtype="float32")
    (answer,) = decoder.generate([GuidedRequest((1, 2, 3), {"loud": 1.0}, max_new_tokens=8)])
    assert answer.kl > 0
    measured = evaluate_arm(base, tmp_path / "arm", preferences(9, seed=1), dtype="float32")
    assert measured["margin"] == pytest.approx(result.metrics["validation/margin"], abs=1e-3)
    learned = result.metrics["validation/implicit_margin"]
    assert abs(learned) > 0.5 and measured["implicit_margin"] == pytest.approx(learned, abs=1e-3)
    if method == "full":  # its start was another model, which may be gone
        shutil.rmtree(tmp_path / "small")
        gone = evaluate_arm(base, tmp_path / "arm", preferences(9, seed=1), dtype="float32")
        assert gone["margin"] == measured["margin"] and "implicit_margin" not in gone
        assert "what ARM 'loud' learned is not measured" in caplog.text


def test_a_model_with_other_tokens_is_refused_by_the_first_that_differs(toy, tmp_path):
    other_model(toy, tmp_path / "small")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "small")
    tokenizer.add_tokens(["<|new|>"])
    tokenizer.save_pretrained(tmp_path / "small")
    config = changed(model=str(tmp_path / "small"))
    with pytest.raises(TokenizerMismatch, match="'loud' and base .* token 261: '<|new|>' against nothing"):
        run(toy, tmp_path, config)
    other_model(toy, tmp_path / "small", vocab_size=260)
    with pytest.raises(TokenizerMismatch, match="scores 260 tokens, and the base's last token has id 260"):
        run(toy, tmp_path, config)


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what is missing without CUDA")
def test_four_bits_without_a_gpu_are_refused_before_training(toy, tmp_path):
    with pytest.raises(ConfigError, match="no CUDA device.*train.quantise: null"):
        run(toy, tmp_path, changed(quantise="4bit"))
    with pytest.raises(ConfigError, match="4bit needs bitsandbytes"):
        check_quantisation()
