"""Where a response ends, and its text: whole at the end, or piece by piece on the way."""

from collections.abc import Sequence

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from genarm.models.chat_template import end_tokens

BROKEN = "\N{REPLACEMENT CHARACTER}"  # what a tokenizer writes for a character whose bytes are not all there


class Ending:
    """The end tokens and stop strings of one model."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> None:
        self.tokenizer = tokenizer
        self.ids = np.array(end_tokens(tokenizer, model), dtype=np.int64)

    def text(self, tokens: Sequence[int]) -> str:
        return str(
            self.tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        )

    def cut(self, tokens: Sequence[int], stop: Sequence[str]) -> str | None:
        """The text before the earliest stop string; None where the last token completed none."""
        # A token is at least a byte, so a stop string that ends now starts among the last few tokens.
        window = max(len(s.encode()) for s in stop) + 8
        tail = self.text(tokens[-window:])
        if not any(s in tail for s in stop):
            return None
        text = self.text(tokens)
        found = [place for s in stop if (place := text.find(s)) >= 0]
        return text[: min(found)] if found else None


class Telling:
    """The text of one response as it grows: whole characters, and nothing that may turn out a stop string."""

    def __init__(self, ending: Ending, stop: Sequence[str]) -> None:
        self.ending, self.stop = ending, stop
        self.tokens: list[int] = []
        self.read = 0  # tokens whose text is in `held` or was told
        self.context = 0  # where decoding starts, so that a word keeps the space before it
        self.held = ""
        self.told = 0

    def add(self, token: int) -> str:
        """The text that is certain after this token and was not told before."""
        self.tokens.append(token)
        before = self.ending.text(self.tokens[self.context : self.read])
        now = self.ending.text(self.tokens[self.context :])
        if now.endswith(BROKEN) or len(now) <= len(before):
            return ""
        self.held += now[len(before) :]
        self.context, self.read = self.read, len(self.tokens)
        certain = len(self.held) - self._possible_stop()
        piece, self.held = self.held[:certain], self.held[certain:]
        self.told += len(piece)
        return piece

    def finish(self, text: str) -> str:
        """What of the whole text was not told yet."""
        return text[self.told :]

    def _possible_stop(self) -> int:
        """How many last characters could begin a stop string."""
        return max(
            (
                n
                for s in self.stop
                for n in range(min(len(s), len(self.held)), 0, -1)
                if self.held.endswith(s[:n])
            ),
            default=0,
        )
