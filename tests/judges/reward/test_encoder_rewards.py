"""A reward model that reads its score elsewhere than at the last token: an encoder with [CLS] and [SEP]."""

import pytest
import torch
from tokenizers.processors import TemplateProcessing
from toy_rewards import save, talk
from toys import byte_tokenizer
from transformers import DistilBertConfig, DistilBertForSequenceClassification

from genarm.config import JudgeConfig
from genarm.judges import load_judge

TEXTS = ["", "yes", "no, and this for several reasons " * 3]


def encoder():
    torch.manual_seed(0)
    sizes = {"vocab_size": 264, "dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4, "pad_token_id": 257}
    config = DistilBertConfig(**sizes, num_labels=1, initializer_range=0.5, dropout=0, attention_dropout=0)
    return DistilBertForSequenceClassification(config).eval()


def test_it_gets_its_own_special_tokens_and_scores_in_batches_as_alone(tmp_path):
    model, tokenizer = encoder(), byte_tokenizer()
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|system|> $A <|user|>", special_tokens=[("<|system|>", 258), ("<|user|>", 259)]
    )
    folder = save(tmp_path, model, tokenizer)
    expected = []
    for text in TEXTS:
        whole = f"<|user|>hi<|end|><|assistant|>{text}<|end|>"
        ids = [258, *tokenizer(whole, add_special_tokens=False)["input_ids"], 259]
        expected.append(model(input_ids=torch.tensor([ids])).logits[0, 0].item())
    prompt = talk("hi")
    for batch_tokens in (8, 10_000):
        config = JudgeConfig(reward_model={"model": str(folder), "batch_tokens": batch_tokens})
        found = load_judge(config)._score_all([prompt] * len(TEXTS), TEXTS)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert len({round(score, 3) for score in expected}) == len(TEXTS)
    assert found[0] == pytest.approx(load_judge(config).score(prompt, ""), abs=1e-5)
