"""Control tokens that a person's text spells are text: they become ordinary tokens, as every other word does.

A chat template writes control tokens, such as `<|im_end|>`, and a tokenizer reads their spelling as the token
wherever it stands: also in a message that merely speaks of it, or that pretends to end a turn. Only what the
template writes is a control token, so

mark    each spelling in a message or response is replaced by a long number, which no template alters
render  the template writes its own control tokens around that
encode  a twin of the tokenizer reads the text. In it every control token is spelled as a number of its own;
        the template's are given these spellings, and the marks become the spelling that they stand for

Where no message spells a control token, all of this is one search of its text.
"""

import json
import re
import secrets
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from genarm.errors import DataError

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

# Drawn anew by each process, so that no text can hold them. They are gone before any token id is made.
_MARK, _TWIN = (str(10**24 + secrets.randbelow(10**24)) for _ in range(2))
_MARKED = re.compile(_MARK + r"(\d{8})")
_known: "WeakKeyDictionary[PreTrainedTokenizerBase, ControlTokens]" = WeakKeyDictionary()


def control_tokens(tokenizer: "PreTrainedTokenizerBase") -> "ControlTokens":
    """The control tokens of a tokenizer; found once, and again when it is given others."""
    state = len(tokenizer), tuple(tokenizer.all_special_tokens)
    known = _known.get(tokenizer)
    if known is None or known.state != state:
        known = _known[tokenizer] = ControlTokens(tokenizer, state)
    return known


def is_marked(text: str) -> bool:
    """Whether a text holds marks, which only `ControlTokens.encode` reads."""
    return _MARK in text


class ControlTokens:
    """The special tokens of one tokenizer: those that a decoded text leaves out."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", state: tuple[int, tuple[str, ...]]) -> None:
        self.state = state
        self._kind = type(tokenizer).__name__
        self._backend: Any = getattr(tokenizer, "backend_tokenizer", None)  # None: written in Python
        self._added = dict(tokenizer.added_tokens_decoder)
        controls = {i: t for i, t in self._added.items() if t.special or t.content in state[1]}
        self.ids = {token.content: i for i, token in controls.items()}
        longest = sorted(controls.values(), key=lambda token: -len(token.content))
        spelled = (
            rf"(?<!\w){re.escape(t.content)}(?!\w)" if t.single_word else re.escape(t.content)
            for t in longest
        )
        # Longest first, as the tokenizer matches them; without any, a pattern that matches nothing.
        self.pattern = re.compile("|".join(spelled) or r"(?!)")
        normaliser = None if self._backend is None else self._backend.normalizer
        self._normalised = normaliser is not None and any(token.normalized for token in longest)
        self._marks: dict[str, int] = {}  # of each spelling that was met
        unknown = tokenizer.unk_token_id
        self._unmistakable = {i for i in self.ids.values() if i != unknown}

    def mark(self, text: str) -> str:
        """The text with a mark in place of every control token that it spells.

        Raises DataError where the tokenizer could not read such a spelling as text.
        """
        marked, end = [], 0
        for start, stop in self._spellings(text):
            self._check_readable(text[start:stop])
            number = self._marks.setdefault(text[start:stop], len(self._marks))
            marked += [text[end:start], f"{_MARK}{number:08d}"]
            end = stop
        return "".join([*marked, text[end:]]) if marked else text

    def unmark(self, text: str) -> str:
        """The text with every mark replaced by the spelling that it stands for."""
        spelled = list(self._marks)
        return _MARKED.sub(lambda mark: spelled[int(mark[1])], text)

    def first_marked(self, text: str) -> str:
        """The spelling that the first mark of a text stands for."""
        mark = _MARKED.search(text)
        return self.unmark(mark[0]) if mark else ""

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of texts with marks: what is marked as text, all other spellings as control tokens."""
        twin, original = self._twin
        spelled = [self.unmark(self._respelled(text)) for text in texts]
        encodings = twin.encode_batch(spelled, add_special_tokens=False)
        return [[original.get(i, i) for i in encoding.ids] for encoding in encodings]

    def _spellings(self, text: str) -> Iterator[tuple[int, int]]:
        """Where the text spells a control token, from start to end."""
        if self._normalised:  # the tokenizer may take another spelling for the token, such as one in capitals
            encoding = self._backend.encode(text, add_special_tokens=False)
            found = zip(encoding.ids, encoding.offsets, strict=True)
            yield from (span for i, span in found if i in self._unmistakable)
        else:
            yield from (match.span() for match in self.pattern.finditer(text))

    def _check_readable(self, spelling: str) -> None:
        if self._backend is None:
            raise DataError(
                f"a text spells the control token {spelling}, which {self._kind} cannot read as text",
                hint="leave the text out, or take a model with a tokenizer.json",
            )

    def _respelled(self, text: str) -> str:
        """The text with its control tokens spelled as the twin spells them; marks stay."""
        numbers = {content: number for number, content in enumerate(self.ids)}
        return self.pattern.sub(lambda match: f"{_TWIN}{numbers[match[0]]:08d}", text)

    @cached_property
    def _twin(self) -> "tuple[Tokenizer, dict[int, int]]":
        """The tokenizer with other spellings of its control tokens, and the original of each id that differs.

        They are renamed in the model's own vocabulary too, whose pieces may be control tokens.
        """
        from tokenizers import Tokenizer

        respelled = {content: f"{_TWIN}{number:08d}" for number, content in enumerate(self.ids)}
        state: dict[str, Any] = json.loads(self._backend.to_str())
        state |= {"truncation": None, "padding": None, "post_processor": None}
        for token in state["added_tokens"]:
            token["content"] = respelled.get(token["content"], token["content"])
        model, vocabulary = state["model"], state["model"]["vocab"]
        if isinstance(vocabulary, dict):
            model["vocab"] = {respelled.get(piece, piece): i for piece, i in vocabulary.items()}
        else:  # Unigram: pieces with their scores
            model["vocab"] = [[respelled.get(piece, piece), score] for piece, score in vocabulary]
        if "merges" in model:  # of BPE; none may end in a piece that is gone
            model["merges"] = [pair for pair in model["merges"] if "".join(pair) not in respelled]
        if model.get("unk_token") in respelled:
            model["unk_token"] = respelled[model["unk_token"]]
        twin = Tokenizer.from_str(json.dumps(state))
        ids = {twin.token_to_id(respelled.get(t.content, t.content)): i for i, t in self._added.items()}
        return twin, {ours: i for ours, i in ids.items() if ours is not None}
