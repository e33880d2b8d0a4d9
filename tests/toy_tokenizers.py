"""Tokenizers in the manner of SentencePiece and BERT, and chat templates in the manner of three families."""

from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers import models as vocabularies
from transformers import PreTrainedTokenizerFast

GEMMA = (
    "{{ bos_token }}{% for m in messages %}<start_of_turn>"
    "{{ 'model' if m['role'] == 'assistant' else m['role'] }}"
    "\n{{ m['content'] | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
LLAMA = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]"
    "{% else %} {{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)
BARE = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}> {% endif %}"


def sentencepiece(template: str, special: tuple[str, ...] = ()) -> PreTrainedTokenizerFast:
    """A tokenizer in the manner of Llama 2 and Gemma: spaces are `▁`, and one is put before any text."""
    words = ["<unk>", "<s>", "</s>", *special, "▁", "▁no", "no", "▁yes", "yes", "\n"]
    words += sorted({*"abcdefghijklmnopqrstuvwxyz[]/>INSTyes"} - set(words))
    merges = [("n", "o"), ("▁", "no"), ("y", "e"), ("ye", "s"), ("▁", "yes")]
    words += [a + b for a, b in merges if a + b not in words]
    model = vocabularies.BPE({w: i for i, w in enumerate(words)}, merges, unk_token="<unk>", fuse_unk=True)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    if special:
        fast.add_special_tokens({"additional_special_tokens": list(special)})
    fast.chat_template = template
    return fast


LETTERS = "abcdefghijklmnopqrstuvwxyz"


def unigram(template: str) -> PreTrainedTokenizerFast:
    """In the manner of T5: control tokens are pieces of the vocabulary, and a `▁` is put before all."""
    pieces = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), ("▁", -2.0), ("▁yes", -3.0), ("yes", -3.5)]
    pieces += [(c, -5.0) for c in (*LETTERS, "\n", "<", ">", "/", "[", "]", *"INST")]
    tokenizer = Tokenizer(vocabularies.Unigram(pieces, unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    fast.chat_template = template
    return fast


def wordpiece(template: str) -> PreTrainedTokenizerFast:
    """In the manner of BERT: lower case, and `[sep]` is read as `[SEP]`, whose spelling is normalised too."""
    words = ["[UNK]", "[CLS]", "[SEP]", *"[]/<>|_", *LETTERS, *(f"##{c}" for c in LETTERS), "yes", "sep"]
    model = vocabularies.WordPiece({w: i for i, w in enumerate(words)}, unk_token="[UNK]")
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        bos_token=AddedToken("[CLS]", normalized=True, special=True),
        eos_token=AddedToken("[SEP]", normalized=True, special=True),
    )
    fast.chat_template = template
    return fast
