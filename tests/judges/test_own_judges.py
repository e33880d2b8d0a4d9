"""Judges of one's own: found in the project's folder, told apart by what they are, hidden from all else."""

import sys
from pathlib import Path

import pytest

from genarm.config import JudgeConfig
from genarm.errors import JudgeError
from genarm.judges import judge, load_judge, load_with_origin
from genarm.types import Message, Prompt, Response, Side, Verdict

P = Prompt((Message("user", "red or blue"),))
CODE = '''
from own_words import LIST

class Echo:
    """Words shared with the question."""
    version = "2"
    def __init__(self, words=()):
        self.words = {*words, *LIST}
    def score(self, prompt, response):
        import own_late  # found when it is called, too
        return own_late.shared({*prompt.messages[-1].content.split(), *self.words}, response)

class Shorter:
    def compare(self, prompt, left, right):
        return (len(left.text) < len(right.text)) - (len(left.text) > len(right.text))

class Batch:
    calls = 0
    def score_all(self, prompts, responses):
        Batch.calls += 1
        return [len(r) for r in responses]

class Lacking(Batch):
    def score_all(self, prompts, responses):
        return [1]

class Nothing: ...
class Asks:
    def __init__(self, words): ...
    def score(self, prompt, response): return 0
class Fails(Asks):
    def __init__(self):
        raise ValueError("no such list")
class Few:
    def score(self, response): return 0
class Wild(Shorter):
    def compare(self, prompt, left, right): return float("nan")
class Raises:
    def score(self, prompt, response):
        return 1 / 0

def asked(prompt, text): return len(prompt.messages) * len(text)
def plainly(text, factor=1): return factor * len(text)
'''


def answer(text: str) -> Response:
    return Response(P.id, text, tokens=1, finish_reason="stop", base_logprob=-1.0, kl=0.0)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "own_judges.py").write_text(CODE)
    (tmp_path / "own_words.py").write_text("LIST = ['green']\n")
    (tmp_path / "own_late.py").write_text("def shared(a, text): return len(a & set(text.split()))\n")
    return tmp_path


def own(project: Path, name: str, **more: object):
    return load_judge(JudgeConfig(scorer=f"own_judges:{name}", **more), project)


def test_a_class_sees_the_prompt_and_takes_options(project):
    """Shared words: red, blue, green and pink are worth one each, other words nothing."""
    found = own(project, "Echo", options={"words": ["pink"]})
    assert found.compare(P, answer("red"), answer("grey")) == 1
    assert found.compare(P, answer("red"), answer("green pink")) == -1


@pytest.mark.parametrize("name", ["Echo", "Shorter", "Batch", "asked", "plainly"])
def test_each_form_judges_the_short_answer_against_the_long(name, project):
    """`Echo` finds none of its words in either, `Shorter` prefers the short one, the others the long one."""
    expected = {"Echo": 0, "Shorter": 1}.get(name, -1)
    assert own(project, name).compare(P, answer("x"), answer("xx y")) == expected


def test_all_responses_are_scored_in_one_call(project):
    found = own(project, "Batch")
    q = Prompt((Message("user", "again"),))
    sides: dict[Side, list[Response]] = {
        side: [answer(text), Response(q.id, text, 1, "stop", -1.0, 0.0)]
        for side, text in (("base", "a"), ("champion", "a"), ("challenger", "bb"))
    }
    verdicts = judge([P, q], sides, {"long": found})
    assert verdicts[0] == Verdict(P.id, "long", "challenger", "base", 1, (2, 1)) and len(verdicts) == 6
    assert own(project, "Batch") is not found
    module = sys.modules.get("own_judges")
    assert module is None and found._score_all.__closure__[0].cell_contents.__self__.calls == 1


def test_its_files_and_version_are_known_and_nothing_of_it_stays_behind(project):
    before = (list(sys.path), set(sys.modules))
    found = load_with_origin(JudgeConfig(scorer="own_judges:Echo"), project)
    assert [f.name for f in found.files] == ["own_judges.py", "own_words.py"] and found.version == "2"
    assert found.identity.startswith("own_judges:Echo, version 2, own_judges.py and 1 more sha256 ")
    found.judge.compare(P, answer("red"), answer("blue"))
    assert [f.name for f in found.files] == ["own_judges.py", "own_late.py", "own_words.py"]
    assert sys.path == before[0] and not {m for m in set(sys.modules) - before[1] if m.startswith("own_")}
    assert not (project / "__pycache__").exists()


def test_a_file_that_is_a_link_is_one_of_the_project_under_its_name_there(project, tmp_path_factory):
    elsewhere = (project / "own_words.py").rename(tmp_path_factory.mktemp("shared") / "words.py")
    (project / "own_words.py").symlink_to(elsewhere)
    found = load_with_origin(JudgeConfig(scorer="own_judges:Echo"), project)
    assert found.files == [project / "own_judges.py", project / "own_words.py"]


def test_two_projects_in_one_process_have_their_own(tmp_path):
    for name, sign in (("one", ""), ("two", "-")):
        (tmp_path / name / "mine").mkdir(parents=True)
        (tmp_path / name / "mine" / "judging.py").write_text(f"def f(text): return {sign}len(text)\n")
    config = JudgeConfig(scorer="mine.judging:f")
    one, two = (load_judge(config, tmp_path / name) for name in ("one", "two"))
    assert one.compare(P, answer("aa"), answer("a")) == 1 == -two.compare(P, answer("aa"), answer("a"))


def test_a_name_that_another_module_has_is_refused(project):
    (project / "statistics.py").write_text("def f(text): return 0\n")
    with pytest.raises(JudgeError, match=r"has the name of another module: .*statistics.*rename it"):
        load_judge(JudgeConfig(scorer="statistics:f"), project)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"scorer": "own_judge:Echo"}, "no such module.*did you mean 'own_judges'.*write own_judge.py in"),
        ({"scorer": "own_judges:Eco"}, "no class or function 'Eco' .did you mean 'Echo'"),
        ({"scorer": "own_judges.Echo:"}, "is no path to Python code"),
        ({"scorer": "own_judges:Nothing"}, "neither score nor compare.*score.prompt, response."),
        ({"scorer": "own_judges:Asks"}, "missing a required argument: 'words'.*it takes words"),
        ({"scorer": "own_judges:Echo", "options": {"word": ["hidden"]}}, "did you mean 'words'"),
        ({"scorer": "own_judges:Fails"}, r"ValueError: no such list .*own_judges.py:33"),
        ({"scorer": "own_judges:Few"}, r"score.response. cannot be called.*score.self, prompt, response"),
        ({"scorer": "own_judges:Shorter", "tie": 1}, "compares by itself.*remove tie"),
        ({"scorer": "own_judges:plainly", "options": {"facto": 2}}, "did you mean 'factor'"),
        ({"scorer": "own_broken:f"}, r"SyntaxError: .*own_broken.py:2"),
        ({"scorer": "own_needs:f"}, r"No module named 'own_need' .*own_needs.py:1.*install what it needs"),
    ],
)
def test_what_cannot_be_loaded_is_told_with_its_line(config, message, project):
    (project / "own_broken.py").write_text("\ndef f(text) return 1\n")
    (project / "own_needs.py").write_text("import own_need\n")
    with pytest.raises(JudgeError, match=message) as caught:
        load_judge(JudgeConfig(**config), project)
    assert "\n" not in str(caught.value) and "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Raises", r"failed on the response to prompt .*ZeroDivisionError: .*own_judges.py:\d+"),
        ("Wild", "gave the preference nan on prompt"),
        ("Lacking", "gave 1 score for 2 responses"),
    ],
)
def test_what_goes_wrong_while_it_judges_is_told_with_its_line(name, message, project):
    sides: dict[Side, list[Response]] = {"base": [answer("a")], "challenger": [answer("b")]}
    with pytest.raises(JudgeError, match=message):
        judge([P], sides, {"own": own(project, name)})


def test_a_judge_may_import_a_module_that_is_built_into_python(tmp_path, monkeypatch):
    """Such a module has no file; it is imported while the judge's own modules are told from others."""
    monkeypatch.delitem(sys.modules, "xxsubtype", raising=False)
    (tmp_path / "own_built.py").write_text("import xxsubtype\n\ndef score(text):\n    return len(text)\n")
    loaded = load_with_origin(JudgeConfig(scorer="own_built:score"), tmp_path)
    assert [file.name for file in loaded.files] == ["own_built.py"]
