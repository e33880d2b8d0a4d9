"""The built-in scorers that are a second opinion: TextBlob's polarity and the Dale-Chall grade."""

import socket
from importlib.metadata import version

import pytest

from genarm.config import JudgeConfig
from genarm.judges import load_scorer, scorer_identity
from genarm.judges.scorers import DALE_CHALL_RANGE, dale_chall, textblob

LOWEST = DALE_CHALL_RANGE[0]


def test_textblob_is_the_mean_polarity_of_the_words_that_it_knows():
    """Its lexicon has great 0.8, terrible -1.0 and bad -0.7."""
    assert textblob("great") == pytest.approx(0.8)
    assert textblob("The food was terrible and bad.") == pytest.approx((-1.0 - 0.7) / 2)
    assert textblob("") == 0 == textblob("The table has four legs.")


def test_textblob_does_not_grow_with_length_as_vader_does():
    assert textblob("great " * 30) == pytest.approx(textblob("great"))


def test_dale_chall_is_the_grade_with_its_sign_turned():
    """Five words in one sentence, one of them rare: 0.1579 * 20 + 0.0496 * 5 + 3.6365."""
    assert dale_chall("The dog ate a hippopotamus.") == pytest.approx(-7.04, abs=0.005)
    assert dale_chall("The dog ate a big cake.") == pytest.approx(-0.0496 * 6)


def test_dale_chall_gives_the_lowest_to_what_says_nothing_and_reads_lists_as_plain_does():
    assert dale_chall("") == dale_chall("Yes.") == dale_chall("go go go go go go") == LOWEST
    prose = "Go to bed soon. Drink a lot now. Call your mother."
    marked = "1. **Go to bed soon**\n2. Drink a lot now\n\n* Call your mother"
    assert dale_chall(marked) == pytest.approx(dale_chall(prose))
    dense = "Perspicacious optimisation necessitates heuristic computational idiosyncrasies throughout."
    assert dale_chall(dense) == LOWEST, "clipped"


@pytest.mark.parametrize("name", ["textblob", "dale_chall"])
def test_they_are_named_with_their_library_and_ask_no_network(name, monkeypatch):
    def refuse(*args: object) -> None:
        raise AssertionError("a scorer went to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert isinstance(load_scorer(JudgeConfig(scorer=name))("A lovely day for all of us."), float)
    library = {"textblob": "textblob", "dale_chall": "textstat"}[name]
    assert scorer_identity(JudgeConfig(scorer=name)) == f"{name}, {library} {version(library)}"
