"""Scorers: plain functions of a response's text, for which more is better. No model, prompt or network."""

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

PLAIN_RANGE = (-50.0, 120.0)
DALE_CHALL_RANGE = (-15.0, 0.0)
PLAIN_WORDS = 5

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_MARKUP = re.compile(r"^[ \t]*(?:#+|[-*+•>]|\d+[.)])[ \t]+|[*_`]{1,3}", re.MULTILINE)
_OPEN_LINE = re.compile(r"(?<=[^\s.!?])[ \t]*$", re.MULTILINE)
_REFUSAL = re.compile(
    r"\b(?:(?:can ?not|can't|could not|couldn't|won't|will not|(?:am|'m)(?: not able| unable)) (?:to )?"
    r"(?:help|assist|answer|provide|fulfil|fulfill|comply|do that|discuss|generate|create|write|give)"
    r"|as an ai\b|i(?:'m| am) (?:just |only )?an? (?:ai\b|language model)"
    r"|i(?:'m| am) (?:so |very )?sorry,? (?:but )?i (?:can|could|am|'m)"
    r"|i must (?:decline|refuse)|against my (?:guidelines|programming))"
)
_REFUSAL_SPAN = 200  # characters; a refusal comes first, and further on these words belong to an answer


def positive(text: str) -> float:
    """How cheerful the wording is: VADER's compound score in [-1, 1], 0 for neutral or empty text.

    Source: Hutto and Gilbert, ICWSM 2014; vaderSentiment 3.3.2. English only, and it saturates with length.
    """
    return float(_vader().polarity_scores(text)["compound"])


def plain(text: str) -> float:
    """How easy the wording is: Flesch reading ease, clipped to [-50, 120]; about 60 is plain English.

    206.835 - 1.015 words / sentences - 84.6 syllables / words, by textstat 0.7.8. Markup is removed and
    the end of a line ends a sentence, since a list would otherwise be one endless sentence. The formula rates
    "Yes" or "go go go" above any prose: with fewer than five different words the score is the lowest, so that
    saying nothing never wins. Source: Flesch, Journal of Applied Psychology 1948. English only.
    """
    import textstat

    lowest, highest = PLAIN_RANGE
    if not _says_something(text):
        return lowest
    return min(highest, max(lowest, float(textstat.flesch_reading_ease(_prose(text)))))


def textblob(text: str) -> float:
    """How cheerful the wording is by another lexicon: TextBlob's polarity in [-1, 1], 0 for empty text.

    The mean over the words that it knows, so it does not grow with length. A second opinion on `positive`: on
    the seed's responses their rank correlation is 0.47. textblob 0.20.1, whose lexicon is Pattern's (De Smedt
    and Daelemans, JMLR 2012). English only.
    """
    from textblob import TextBlob

    return float(TextBlob(text).sentiment.polarity)


def dale_chall(text: str) -> float:
    """How common the words are: minus the Dale-Chall grade, clipped to [-15, 0]; a child of ten reads -4.9.

    0.1579 percent of words that are not among 3,000 familiar ones + 0.0496 words / sentences, and 3.6365 more
    where those are over 5 percent, by textstat 0.7.8. Markup, ends of lines and texts of fewer than five
    different words are treated as by `plain`, on which it is a second opinion (rank correlation 0.74).
    Source: Dale and Chall, Educational Research Bulletin 1948. English only.
    """
    import textstat

    lowest, highest = DALE_CHALL_RANGE
    if not _says_something(text):
        return lowest
    return min(highest, max(lowest, -float(textstat.dale_chall_readability_score(_prose(text)))))


def _says_something(text: str) -> bool:
    return len({word.lower() for word in _WORD.findall(text)}) >= PLAIN_WORDS


def _prose(text: str) -> str:
    """The text without markup, in which the end of a line ends a sentence."""
    return _OPEN_LINE.sub(".", _MARKUP.sub("", text).strip())


def length(text: str) -> float:
    """Number of words."""
    return float(len(_WORD.findall(text)))


def brief(text: str) -> float:
    """Minus the number of words."""
    return -length(text)


def refusal(text: str) -> float:
    """0 where the first lines read as a refusal to answer, else 1. By phrases, in English."""
    opening = text[:_REFUSAL_SPAN].lower().replace("’", "'")
    return 0.0 if _REFUSAL.search(opening) else 1.0


def forbidden_words(text: str, words: Sequence[str]) -> float:
    """Minus the number of times that any of `words` occurs, as whole words in any case."""
    if not words:
        return 0.0
    choice = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    return -float(len(re.findall(rf"(?<!\w)(?:{choice})(?!\w)", text, re.IGNORECASE)))


SCORERS: dict[str, Callable[..., float]] = {
    f.__name__: f for f in (positive, plain, textblob, dale_chall, length, brief, refusal, forbidden_words)
}


@functools.cache
def _vader() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()
