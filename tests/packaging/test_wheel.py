"""The wheel in an environment of its own, outside any checkout: every door opens, and a project runs."""

import json
import os
import re
import shlex
import shutil
import site
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from toys import byte_tokenizer, toy_model

from genarm import __version__

ROOT = Path(__file__).parents[2]
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
COMMITTER = {f"GIT_{who}_{what}": "t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wheel")]  # one wheel, one environment


def tracked(*folders: str) -> list[Path]:
    """The files of this repository that git does not ignore."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *folders]
    lines = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return [Path(line) for line in lines if (ROOT / line).is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, so that nothing is left beside the sources, by the setuptools installed here."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for path in tracked():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, source / path)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(out), str(source)], check=True)
    [file] = out.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """The interpreter of an environment that has the wheel, and our dependencies from this environment."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    [packages] = folder.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps"]
    subprocess.run([*install, "--no-index", str(wheel)], check=True)
    return python


@pytest.fixture
def run(python, tmp_path):
    """The output of a command of that environment, in a folder that no checkout holds."""

    def typed(*words: str, folder: Path = tmp_path) -> str:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_", "PYTHON"))}
        here = Path(sys.executable).parent  # for dvc, whose command the environment above lacks
        path = os.pathsep.join((str(python.parent), str(here), kept["PATH"]))
        done = subprocess.run(
            words,
            cwd=folder,
            env=kept | {"PATH": path, "OMP_NUM_THREADS": "1"} | COMMITTER,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-6000:]
        return done.stdout

    return typed


def test_the_wheel_holds_all_that_git_tracks_and_nothing_else(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    ours = {p.as_posix() for p in tracked("genarm")} | {f"genarm/{p.as_posix()}" for p in tracked("flows")}
    assert names == ours
    assert any(name.endswith("/licenses/LICENSE") for name in zipfile.ZipFile(wheel).namelist())


def test_every_module_is_imported_from_the_wheel(run, python):
    """But those that need vLLM, which has an environment of its own, and those that are run as programs."""
    code = (
        "import importlib, pkgutil, genarm\n"
        "for m in pkgutil.walk_packages(genarm.__path__, 'genarm.'):\n"
        "    programs = ('genarm.pipeline.train_worker', 'genarm.registry.pyfunc')\n"
        "    if m.name not in programs and not m.name.startswith('genarm.vllm.'):\n"
        "        importlib.import_module(m.name)\n"
        "print(genarm.__file__)"
    )
    assert str(python.parents[1]) in run("python", "-c", code).splitlines()[-1]


def test_the_library_is_reached_by_its_public_names(run):
    run("python", "-c", "from genarm.decoding import load_decoder; from genarm.config import load_params")


def test_the_command_line(run):
    assert run("genarm", "--version") == f"genarm {__version__}\n"
    assert "registry" in run("genarm", "--help")


def test_the_files_of_accelerate_come_with_it(run, tmp_path):
    code = (
        "from pathlib import Path; from genarm.config import TrainConfig\n"
        "from genarm.training.launch import config_file\n"
        "print(config_file(Path('.'), TrainConfig()))"
    )
    file = Path(run("python", "-c", code).strip())
    assert file.name == "single-node.yaml" and ROOT not in file.parents


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TUTORIAL, re.MULTILINE | re.DOTALL)


def bare(table: str) -> set[str]:
    """The rows of a table without the spaces that a terminal's width asks for."""
    return {" ".join(line.split()) for line in table.splitlines()} - {""}


def names(lines: str) -> set[str]:
    """What each line of a run is about: `train warm` of `train warm    188 pairs, 101 s`."""
    return {line.partition("  ")[0] for line in lines.splitlines()} - {""}


def test_the_tutorial_goes_from_pairs_to_a_decision(run, python, tmp_path):
    """Every command and file of the page, with a base model that answers at once and few of the pairs."""
    toy_model(layers=2, initializer_range=0.02).save_pretrained(tmp_path / "base")
    byte_tokenizer().save_pretrained(tmp_path / "base")
    (tmp_path / "genarm").symlink_to(ROOT)
    export, judge = blocks("python")
    run(str(python), "-c", export)
    first, second, third = (block.splitlines() for block in blocks("sh"))
    made, planned, ran, decided = blocks("text")
    told = run(*shlex.split(first[0]))
    assert made in told, told
    project, yaml = tmp_path / first[1].removeprefix("cd "), YAML()

    params = yaml.load(project / "params.yaml")
    assert YAML(typ="safe").load(blocks("yaml")[0]) == {"dimensions": params["dimensions"]}
    params["base"] |= {"model": str(tmp_path / "base"), "dtype": "float32"}
    params["pairs"] |= {"max_tokens": 1100}  # the toy's tokens are bytes
    params["train"] |= {"max_pairs": 16}
    params["respond"] |= {"prompts": 20}
    params["respond"]["sampling"] |= {"max_new_tokens": 8}
    yaml.dump(params, project / "params.yaml")
    judges = project / "judges.py"
    written = judges.read_text()
    judges.write_text(written[: written.index("class Warm")] + judge)

    for command in second[:-1]:
        shown = run(*shlex.split(command), folder=project)
    assert bare(planned) <= bare(shown), shown
    done = run(*shlex.split(second[-1]), folder=project)
    assert names(ran) <= names(done), done
    assert names(decided.partition("\n\n")[2]) == names(done.rpartition("\n\n")[2])
    decision = json.loads((project / "artifacts/decisions.json").read_text())["warm"]
    assert decision["outcome"] in ("promote", "hold", "reject") and decision["reasons"]
    assert "judges:Warm, version 1" in (project / "artifacts/report/report.html").read_text()
    [version] = json.loads(run("genarm", "registry", "list", "--json", folder=project))
    assert version["version"] == 1
    changed = run("git", "status", "--porcelain", folder=project).splitlines()
    assert {line[3:] for line in changed} <= {"dvc.lock", "mlflow/champions.json", "mlflow/incumbents.json"}
    for command in third:
        run(*shlex.split(command), folder=project)

    requirements = project / "requirements.txt"
    requirements.write_text(requirements.read_text().replace(__version__, "99"))
    shown = run("genarm", "plan", "--json", folder=project)  # warnings before it, which go to stderr
    steps = json.loads(shown[shown.index("[\n") :])
    assert all(step["runs"] for step in steps if step["stage"] != "data.dvc"), "another genarm runs all again"
