"""What decoding would refuse is known without weights, and what it would not refuse passes."""

import pytest
from toy_arms import family_model
from toys import byte_tokenizer

from genarm.decoding import load_decoder
from genarm.decoding.runner.dry_run import check_decodable
from genarm.errors import ModelError
from genarm.models import resolve
from genarm.models.skeleton import skeleton

OPT = {"word_embed_proj_dim": 32, "ffn_dim": 64}
DECODED = {
    "llama": {}, "mistral": {"sliding_window": 6}, "qwen2": {}, "qwen3": {}, "gemma2": {"head_dim": 8},
    "gemma3_text": {"head_dim": 8}, "phi3": {}, "gpt2": {}, "gpt_neox": {}, "opt": OPT, "falcon": {},
    "gptj": {"rotary_dim": 4}, "mixtral": {},
}  # fmt: skip
REFUSED = {"bloom": {}, "falcon": {"alibi": True}, "mamba": {}}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", DECODED)
def test_what_is_decoded_passes(family, tmp_path):
    family_model(family, tmp_path, byte_tokenizer(), **DECODED[family])
    source = resolve(str(tmp_path))
    load_decoder(source, {}, dtype="float32")
    made = skeleton(source)
    assert {p.device.type for p in made.parameters()} == {"meta"}
    check_decodable(made)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", REFUSED)
def test_what_is_refused_is_refused_in_the_same_words(family, tmp_path):
    family_model(family, tmp_path, byte_tokenizer(), **REFUSED[family])
    source = resolve(str(tmp_path))
    with pytest.raises(ModelError) as later:
        load_decoder(source, {}, dtype="float32")
    with pytest.raises(ModelError) as now:
        check_decodable(skeleton(source))
    assert str(now.value) == str(later.value)
