"""Where a response ends, and its text: whole at the end, or piece by piece on the way."""

from collections.abc import Collection, Sequence
from itertools import islice

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from genarm.errors import RequestError
from genarm.models.chat_template import end_tokens
from genarm.models.control_tokens import control_tokens

BROKEN = "\N{REPLACEMENT CHARACTER}"  # what a tokenizer writes for a character whose bytes are not all there


def check_stop(special: Collection[str], stop: Sequence[str], name: str) -> None:
    """Raise RequestError, naming who asks, for a stop string with one of the `special` tokens inside."""
    for string in stop:
        inside = next((token for token in special if token in string), None)
        if inside is not None and string not in special:
            raise RequestError(
                f"{name}: the stop string {string!r} holds the special token {inside!r} beside other "
                "text, and no response's text holds a special token",
                hint=f"stop at {inside!r} alone",
            )


class StopCriteria:
    """The end tokens of one model, and how its tokens are searched for stop strings."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> None:
        self.tokenizer = tokenizer
        self.end_tokens = np.array(end_tokens(tokenizer, model), dtype=np.int64)  # ids
        self.special = control_tokens(tokenizer).ids  # by spelling, the tokens that `text` leaves out
        self.left_out = frozenset(self.special.values())

    def text(self, tokens: Sequence[int]) -> str:
        """The text of these tokens, without special ones."""
        return str(
            self.tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        )

    def check(self, stop: Sequence[str], name: str) -> None:
        """Raise RequestError, naming the request, for a stop string that could never be found.

        A special token may be one, and is found as a token; beside other text it is not in the text at all.
        """
        check_stop(self.special, stop, name)

    def text_before_stop(self, tokens: Sequence[int], stop: Sequence[str]) -> str | None:
        """The text before the earliest stop string; None where the last token completed none.

        A stop string that is a special token ends the text at that token.
        """
        if any(self.special.get(string) == tokens[-1] for string in stop):
            return self.text(tokens[:-1])
        # A token is at least a byte, so a stop string that ends now starts among the last few tokens.
        window = max(len(s.encode()) for s in stop) + 8
        in_text = (token for token in reversed(tokens) if token not in self.left_out)
        tail = self.text([*islice(in_text, window)][::-1])
        if not any(s in tail for s in stop):
            return None
        text = self.text(tokens)
        starts = [start for s in stop if (start := text.find(s)) >= 0]
        return text[: min(starts)] if starts else None


class StreamingText:
    """A response's text as it grows: whole characters only, and nothing that may become a stop string."""

    def __init__(self, criteria: StopCriteria, stop: Sequence[str]) -> None:
        self.criteria, self.stop = criteria, stop
        self.tokens: list[int] = []
        self.decoded = 0  # tokens whose text is in `held_back` or was emitted
        self.context = 0  # where decoding starts, so that a word keeps the space before it
        self.held_back = ""
        self.emitted = 0  # characters

    def add(self, token: int) -> str:
        """The text that is certain after this token and was not emitted before."""
        self.tokens.append(token)
        before = self.criteria.text(self.tokens[self.context : self.decoded])
        now = self.criteria.text(self.tokens[self.context :])
        if now.endswith(BROKEN) or len(now) <= len(before):
            return ""
        self.held_back += now[len(before) :]
        self.context, self.decoded = self.decoded, len(self.tokens)
        certain = len(self.held_back) - self._possible_stop()
        piece, self.held_back = self.held_back[:certain], self.held_back[certain:]
        self.emitted += len(piece)
        return piece

    def finish(self, text: str) -> str:
        """What of the whole text was not emitted yet."""
        return text[self.emitted :]

    def _possible_stop(self) -> int:
        """How many last characters could begin a stop string."""
        return max(
            (
                n
                for s in self.stop
                for n in range(min(len(s), len(self.held_back)), 0, -1)
                if self.held_back.endswith(s[:n])
            ),
            default=0,
        )
