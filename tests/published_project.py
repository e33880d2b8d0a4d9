"""A project as publishing sees it: results under git, a bare remote, and the means to change either."""

from dataclasses import dataclass
from pathlib import Path

from dvc_project import git
from toy_params import dimension

from genarm.config import PublishConfig
from genarm.pipeline.project import Project
from genarm.pipeline.publish.steps import Publication, Published, publish
from genarm.system.files import write_json, write_text
from genarm.types import Champion, Decision

RESULTS = [
    "data.dvc",
    "dvc.lock",
    "mlflow/champions.json",
    "mlflow/incumbents.json",
    "mlflow/looks.json",
    "mlflow/starts.json",
]
STAGE = (
    "schema: '2.0'\nstages:\n  pairs@kind:\n    cmd: make\n    deps:\n    - path: code.py\n      md5: {md5}\n"
)
COMMIT = PublishConfig(git="commit", push=True)
BRANCH = PublishConfig(git="branch", push=True)
IN_USE = Champion(3, "m-1", "c" * 64, 1.0)
PROMOTED = Decision("kind", "promote", ["kind: win rate 0.68 [0.60, 0.75] n=120"], "c" * 64, None)
HELD = Decision("kind", "hold", ["kind: win rate 0.52 [0.44, 0.60] n=120"], "d" * 64, None)


@dataclass(frozen=True)
class Place:
    """A clone, and the bare repository that it pushes to."""

    root: Path
    bare: Path

    def git(self, *words: str) -> str:
        return git(self.root, *words)

    def there(self, *words: str) -> str:
        return git(self.bare, *words)

    def publish(self, config: PublishConfig, *decisions: Decision) -> Published:
        return publish(Publication(Project(self.root), config, list(decisions) or None))

    def decide(self, number: int, champion: Champion | None = None) -> None:
        """What a run leaves behind: other results each time."""
        md5 = f"a{number:031x}"
        write_text(self.root / "dvc.lock", STAGE.format(md5=md5))
        write_text(self.root / "data.dvc", f"outs:\n- md5: {md5}.dir\n  path: data\n  hash: md5\n")
        write_json(self.root / "mlflow" / "champions.json", {"kind": champion})
        for name in ("incumbents", "looks", "starts"):
            write_json(self.root / "mlflow" / f"{name}.json", {"kind": None})

    def hook(self, name: str, says: str, *, there: bool = False) -> Path:
        """A hook that refuses; `there` at the remote."""
        folder = self.bare if there else self.root / ".git"
        file = folder / "hooks" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/sh\necho '{says}' >&2\nexit 1\n")
        file.chmod(0o755)
        return file

    def clone(self, folder: Path) -> "Place":
        git(folder.parent, "clone", "--quiet", str(self.bare), str(folder))
        other = Place(folder, self.bare)
        other.identify()
        return other

    def identify(self) -> None:
        self.git("config", "user.name", "t")
        self.git("config", "user.email", "t@example.org")


def make(folder: Path) -> Place:
    """A project with one commit, pushed to a remote of its own; its results are those of run 0."""
    place = Place(folder / "project", folder / "remote.git")
    git(folder, "init", "--quiet", "--bare", "-b", "main", str(place.bare))
    git(folder, "init", "--quiet", "-b", "main", str(place.root))
    place.identify()
    (place.root / ".gitignore").write_text("/.cache/\n/data\n")
    (place.root / "code.py").write_text("x = 1\n")
    write_json(place.root / "params.yaml", {"base": {"model": "x"}, "dimensions": {"kind": dimension("a")}})
    place.decide(0)
    place.git("add", "--all")
    place.git("commit", "--quiet", "-m", "start")
    place.git("remote", "add", "origin", str(place.bare))
    place.git("push", "--quiet", "-u", "origin", "main")
    return place
