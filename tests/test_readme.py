"""What the README and the hints of errors tell people to type exists, and the tree and table are true."""

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from ruamel.yaml import YAML
from toy_arms import make_arm

from genarm.cli import main as cli
from genarm.config import JudgeConfig
from genarm.judges import load_judge
from genarm.models import resolve
from genarm.types import Message, Prompt, Response

ROOT = Path(__file__).parents[1]
README, TRAINING, OPERATIONS = (
    (ROOT / name).read_text(encoding="utf-8")
    for name in ("README.md", "docs/training.md", "docs/operations.md")
)
TARGETS = re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
GENARM = typer.main.get_command(cli.app)


def blocks(language: str, page: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    shown = [block for page in (README, TRAINING, OPERATIONS) for block in blocks("sh", page)]
    lines = [line for block in shown for line in block.splitlines()]
    return [
        words
        for line in lines
        for part in line.split("&&")
        if (words := shlex.split(re.sub(r"<[^>]*>", "X", part), comments=True))
    ]


def leaf(words: list[str]):
    """The genarm command that `words` lead to, and what is left of them."""
    command, rest = GENARM, list(words)
    while rest and hasattr(command, "commands"):
        if rest[0] not in command.commands and "source" in command.commands:
            return command.commands["source"], rest  # as in `genarm data pairs.jsonl`
        assert rest[0] in command.commands, f"genarm has no {' '.join(words)!r}"
        command = command.commands[rest.pop(0)]
    return command, rest


def slow_where_it_starts_prefect(words: list[str]):
    return pytest.param(words, marks=pytest.mark.slow) if words[0] == "prefect" else words


@pytest.mark.parametrize("words", map(slow_where_it_starts_prefect, commands()), ids=" ".join)
def test_every_command_of_the_readme_exists(words, tmp_path, monkeypatch):
    program, *rest = words
    if program == "genarm":
        command, arguments = leaf(rest)
        monkeypatch.chdir(tmp_path)
        for file in (a for a in arguments if a.endswith(".jsonl")):
            Path(file).touch()  # the reader's own
        command.make_context(command.name, arguments)  # an unknown option or a missing argument raises
    elif program == "make":
        assert set(rest) <= set(TARGETS)
    elif program in ("python", "dvc"):
        module, *arguments = rest[1:] if program == "python" else ["dvc", *rest]
        verbs = [a for a in arguments if re.fullmatch("[a-z]+", a)]
        done = subprocess.run(
            [sys.executable, "-m", module, *verbs, "--help"], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert all(a in done.stdout for a in arguments if a.startswith("--"))
    elif program == "prefect":
        done = subprocess.run(
            [sys.executable, "-m", "prefect", *rest, "--help"], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0 and "Usage:" in done.stdout, done.stdout + done.stderr
        assert all(a in done.stdout for a in rest if a.startswith("--"))
    else:
        assert program in ("git", "cd", "export"), (
            f"the README types {program}, which this test does not know"
        )


def hints() -> list[tuple[str, str]]:
    """Every literal `hint=` of the code; what is filled in at run time reads X."""
    found = []
    for path in sorted([*(ROOT / "genarm").rglob("*.py"), *(ROOT / "flows").rglob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "hint":
                parts = node.value.values if isinstance(node.value, ast.JoinedStr) else [node.value]
                text = "".join(p.value if isinstance(p, ast.Constant) else "X" for p in parts)
                found.append((f"{path.name}:{node.value.lineno}", str(text)))
    return found


def test_every_command_of_a_hint_exists():
    told = 0
    for where, text in hints():
        for typed in re.findall(r"(?<![\w-])genarm ([a-z][^;,()\n]*)", text):
            words = typed.split()
            if words[0] == "in":  # run genarm in the project's folder
                continue
            command, rest = leaf(words)
            known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
            assert {w for w in rest if w.startswith("--")} <= known, f"{where}: genarm {typed}"
            told += 1
    assert told > 20


def test_the_decoding_example_runs(toy, tmp_path, capsys):
    make_arm(tmp_path / "arm", resolve(str(toy.folder)), toy.model, seed=0)
    [example] = [block for block in blocks("python") if "load_decoder" in block]
    for shown, here in (
        ("smollm2-135m-instruct", str(toy.folder)),
        ("artifacts/arms/positive", str(tmp_path / "arm")),
        ("bfloat16", "float32"),
    ):
        assert shown in example
        example = example.replace(shown, here)
    exec(compile(example, "README.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) > 3


def test_the_project_of_ones_own_is_what_the_command_makes(tmp_path, monkeypatch):
    [rows], [shown] = blocks("json"), [block for block in blocks("yaml") if "judges:Concise" in block]
    [judge] = [block for block in blocks("python") if "class Concise" in block]
    [command] = [block for block in blocks("sh") if "--dimensions concise" in block]
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs" / "concise.jsonl").write_text(rows)
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "t")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "t@example.org")
    typed = shlex.split(command.partition("&&")[0])
    genarm = Path(sys.executable).with_name("genarm")
    done = subprocess.run([genarm, *typed[1:]], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    written = YAML(typ="safe").load((tmp_path / "my-project" / "params.yaml").read_text())
    assert written["dimensions"] == YAML(typ="safe").load(shown)["dimensions"]
    (tmp_path / "my-project" / "judges.py").write_text(judge)
    better, worse = (Response("p", text, 1, "stop", -1.0, 0.0) for text in ("Ten seconds or so.", "no " * 9))
    found = load_judge(JudgeConfig(scorer="judges:Concise"), tmp_path / "my-project")
    assert found.compare(Prompt((Message("user", "How long?"),)), better, worse) == 1


def test_the_tree_is_true():
    [tree] = [b for b in blocks("text") if b.startswith("README.md")]
    shown = [line.split()[0] for line in tree.splitlines()]
    assert not [name for name in shown if not (ROOT / name).exists()]
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    folders = {f"{Path(line).parts[0]}/" for line in tracked.splitlines() if "/" in line}
    packages = {f"genarm/{path.parent.name}/" for path in (ROOT / "genarm").glob("*/__init__.py")}
    assert ({f for f in folders if not f.startswith(".")} - {"genarm/"}) | packages <= set(shown)


def test_the_table_has_the_stages_of_dvc():
    stages = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
    wanted: dict[str, list[str]] = {}
    for name, stage in stages.items():
        command = stage.get("do", stage)["cmd"].replace("${key}", "dim")
        wanted.setdefault(name.partition("-")[0], []).append(command)
    table: dict[str, list[str]] = {}
    for name, cell in re.findall(r"^\| `([a-z]+)(?:@dim)?` \| (.*?) \|", README, re.MULTILINE):
        first, *others = re.findall("`(.*?)`", cell)
        table[name] = [first, *(f"genarm {name} {words}" for words in others)]
    assert table == wanted
