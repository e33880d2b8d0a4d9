"""Scorers on texts whose score is known, and verdicts on sides whose answers are."""

import math
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

from genarm.config import JudgeConfig
from genarm.errors import DataError, JudgeError
from genarm.judges import ScoreJudge, by_text, judge, load_judge, load_scorer, scorer_identity
from genarm.judges.scorers import brief, forbidden_words, length, plain, positive, refusal
from genarm.system.files import sha256
from genarm.types import Message, Prompt, Response, Side, Verdict


def prompt(text: str) -> Prompt:
    return Prompt((Message("user", text),))


def response(to: Prompt, text: str) -> Response:
    return Response(to.id, text, tokens=1, finish_reason="stop", base_logprob=-1.0, kl=0.0)


P, Q = prompt("How are you?"), prompt("And you?")


def shouting(text: str, mark: str = "!") -> float:
    """A scorer that a user might bring."""
    return text.count(mark)


def broken(text: str) -> float:
    return math.nan


def crashing(text: str) -> float:
    return float(text[0])


def boolean_text(text: str) -> str:
    return f"yes: {text}"


def test_positive_is_vaders_compound():
    """VADER rates "good" 1.9: compound = 1.9 / sqrt(1.9^2 + 15)."""
    assert positive("good") == pytest.approx(1.9 / math.sqrt(1.9**2 + 15), abs=1e-4)
    assert positive("") == 0 == positive("The table has four legs.")
    assert positive("I hate this terrible day.") < 0 < positive("I love this lovely day.")


def test_plain_is_flesch_reading_ease():
    """Six words, two sentences, six syllables: 206.835 - 1.015 * 3 - 84.6 * 1."""
    assert plain("I like cats. They are fun.") == pytest.approx(206.835 - 1.015 * 3 - 84.6)


def test_plain_reads_a_list_as_sentences_and_ignores_its_markup():
    prose = "Go to bed soon. Drink a lot now. Call your mother."
    marked = "1. **Go to bed soon**\n2. Drink a lot now\n\n* Call your mother"
    assert plain(marked) == plain(prose)
    assert plain(prose) > plain("Go to bed soon and drink a lot now and call your mother.")


@pytest.mark.parametrize("text", ["", "Yes", "Yes.", "go go go go go go go.", "...", "Go on.\n\nGo on.\nOn!"])
def test_saying_nothing_never_wins_plain(text):
    """The bare formula gives 121 to "Yes." and 0 to nothing at all."""
    assert plain(text) == -50 < plain("Despite the weather, the ceremony went ahead and nobody complained.")


def test_plain_is_clipped_below():
    """Five words of some 30 syllables would get about -300."""
    words = "Unquestionably incomprehensible institutionalisation notwithstanding interdependencies."
    assert plain(words) == -50


def test_words_are_counted():
    assert length("It's a well-known fact: 42 is even.") == 7
    assert brief("It's a well-known fact: 42 is even.") == -7
    assert length("") == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I'm sorry, but I can't help with that.", 0),
        ("I’m sorry, I cannot assist you.", 0),
        ("As an AI, I have no favourite season.", 0),
        ("I am unable to provide an opinion.", 0),
        ("Sorry about your ankle! Rest it and put some ice on it.", 1),
        ("You can't go wrong with soup.", 1),
        ("", 1),
        ("Soup is easy. " * 20 + "I can't help you further.", 1),  # late: part of the answer
    ],
)
def test_refusal(text, expected):
    assert refusal(text) == expected


def test_forbidden_words_are_whole_words_in_any_case():
    assert forbidden_words("Utterly, utterly classic. An ass.", ["ass", "utterly"]) == -3
    assert forbidden_words("Anything goes.", []) == 0
    assert forbidden_words("C++ and C", ["C++"]) == -1


def test_a_scorer_by_name_and_by_import_path_with_options():
    assert load_scorer(JudgeConfig(scorer="brief"))("two words") == -2
    own = load_judge(JudgeConfig(scorer=f"{__name__}:shouting", options={"mark": "?"}))
    assert own.compare(P, response(P, "What?! Why?"), response(P, "What?!!!")) == 1


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"scorer": "positve"}, "did you mean 'positive'"),
        ({"scorer": "no_such_module:f"}, "cannot import 'no_such_module'"),
        ({"scorer": f"{__name__}:shoutin"}, "did you mean 'shouting'"),
        ({"scorer": f"{__name__}:P"}, "no class or function 'P'"),
        ({"scorer": "plain", "options": {"words": ["a"]}}, "it takes the text and no options"),
        ({"scorer": "forbidden_words"}, "missing a required argument: 'words'"),
        ({"scorer": "forbidden_words", "options": {"word": ["a"]}}, "did you mean 'words'"),
    ],
)
def test_a_scorer_that_cannot_be_loaded(config, message):
    with pytest.raises(JudgeError, match=message.replace("(", r"\(")):
        load_judge(JudgeConfig(**config))


@pytest.mark.parametrize("name", ["broken", "crashing", "boolean_text"])
def test_a_score_that_is_no_number_names_the_prompt(name):
    bad = load_judge(JudgeConfig(scorer=f"{__name__}:{name}"))
    with pytest.raises(JudgeError, match=P.id) as caught:
        bad.compare(P, response(P, ""), response(P, "a text for no log"))
    assert "log" not in str(caught.value)


def test_the_higher_score_is_preferred_and_close_scores_tie():
    """Lengths 3, 2 and 1 with ties below 2: a gap of 1 ties, a gap of 2 does not."""
    three, two, one = (response(P, " ".join(["word"] * n)) for n in (3, 2, 1))
    close = load_judge(JudgeConfig(scorer="length", tie=2))
    assert [close.compare(P, three, one), close.compare(P, one, three)] == [1, -1]
    assert [close.compare(P, three, two), close.compare(P, two, two)] == [0, 0]
    assert ScoreJudge(by_text(length)).compare(P, three, two) == 1


def test_verdicts_cover_every_pairing_dimension_and_prompt():
    """On length: challenger beats base on P and ties on Q, champion loses to both on Q."""
    sides: dict[Side, list[Response]] = {
        "base": [response(Q, "a b"), response(P, "a")],  # any order
        "champion": [response(P, "a"), response(Q, "a")],
        "challenger": [response(P, "a b"), response(Q, "a b")],
    }
    verdicts = judge(
        [P, Q], sides, {"long": ScoreJudge(by_text(length)), "brief": ScoreJudge(by_text(brief))}
    )
    expected = [
        ("challenger", "base", 1, 0),
        ("champion", "base", 0, -1),
        ("challenger", "champion", 1, 1),
    ]
    plain = [replace(v, scores=None) for v in verdicts]
    assert plain == [
        Verdict(asked.id, dimension, left, right, sign * preference)
        for dimension, sign in (("long", 1), ("brief", -1))
        for left, right, *preferences in expected
        for asked, preference in zip((P, Q), preferences, strict=True)
    ]


def test_a_side_that_did_not_answer_makes_no_verdict():
    one: dict[Side, list[Response]] = {"base": [response(P, "a")]}
    assert judge([P], one, {"long": ScoreJudge(by_text(length))}) == []
    two: dict[Side, list[Response]] = {**one, "challenger": [response(P, "a b")]}
    verdicts = judge([P], two, {"long": ScoreJudge(by_text(length))})
    assert verdicts == [Verdict(P.id, "long", "challenger", "base", 1, scores=(2, 1))]


def test_a_judge_is_named_with_the_version_of_what_computes_it(tmp_path):
    """A library's for what it computes, the hash of its files for a scorer of one's own."""
    of_own = JudgeConfig(scorer=f"{__name__}:shouting")
    assert scorer_identity(JudgeConfig(scorer="positive")) == (
        f"positive, vaderSentiment {version('vaderSentiment')}"
    )
    assert scorer_identity(JudgeConfig(scorer="brief")) == f"brief, genarm {version('genarm')}"
    digest = sha256(Path(__file__))
    assert scorer_identity(of_own) == f"{of_own.scorer}, test_judges.py sha256 {digest[:12]}"
    files = [tmp_path / name for name in ("judges.py", "words.py")]
    for file in files:
        file.write_text(file.name)
    named = scorer_identity(of_own, version="2", files=files)
    assert named.startswith(f"{of_own.scorer}, version 2, judges.py and 1 more sha256 ")
    files[1].write_text("changed")
    assert scorer_identity(of_own, version="2", files=files) != named


def test_each_response_is_scored_once():
    seen: list[str] = []

    def counting(text: str) -> float:
        seen.append(text)
        return len(text)

    sides: dict[Side, list[Response]] = {
        "base": [response(P, "a")],
        "champion": [response(P, "bb")],
        "challenger": [response(P, "ccc")],
    }
    judge([P], sides, {"long": ScoreJudge(by_text(counting))})
    assert sorted(seen) == ["a", "bb", "ccc"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([response(P, "a")], f"challenger did not answer prompt {Q.id}"),
        ([response(P, "a"), response(Q, "a"), response(Q, "a")], f"challenger answered prompt {Q.id} twice"),
        ([response(P, "a"), response(Q, "a"), response(prompt("?"), "a")], "not among the 2 asked"),
    ],
)
def test_sides_must_have_answered_the_same_prompts(rows, message):
    base = [response(P, "a"), response(Q, "a")]
    with pytest.raises(DataError, match=message):
        judge([P, Q], {"base": base, "challenger": rows}, {"long": ScoreJudge(by_text(length))})


def test_a_preference_out_of_range_is_refused():
    class Loud:
        def compare(self, prompt: Prompt, left: Response, right: Response) -> float:
            return 2.0

    rows = [response(P, "a")]
    with pytest.raises(JudgeError, match=P.id):
        judge([P], {"base": rows, "challenger": rows}, {"loud": Loud()})
