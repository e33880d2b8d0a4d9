"""How text reads: numbers worked by hand."""

import math

import pytest
from pytest import approx
from verdict_rows import response

from genarm.errors import DataError
from genarm.evaluation.text_health import repetition, text_health


def test_repetition_by_hand():
    """'a b c d' comes twice among the 5 four-grams of 'a b c d a b c d'; only its second time is a repeat."""
    assert repetition("A b c d a b  c d") == approx(1 / 5)
    assert repetition("one two three") == 0
    assert repetition("no " * 23) == approx(19 / 20)
    assert repetition("so-" * 5) == approx(5 / 7), "so - so - so ...: two 4-grams of seven"
    assert repetition("Well, well, it is: so.") == 0
    assert repetition("| word | kind |\n|------|------|\n| a | b |\n| c | d |") == 0, "a table"
    assert repetition("नमस्ते दुनिया " * 2) == 0, "four words, whatever marks they have: one 4-gram"


def test_text_health_by_hand():
    """4 tokens at -2 nats and 2 at -1: perplexity exp(3 / 6), not the mean of the two perplexities."""
    found = text_health("base", [response("a", "no " * 8, 4, -2.0), response("b", "yes", 2, -1.0)])
    assert found.perplexity == approx(math.exp(0.5))
    assert (found.mean_tokens, found.repetition, found.kl) == approx((3, 0.4, 0.1))
    with pytest.raises(DataError, match="champion answered with no token"):
        text_health("champion", [])
