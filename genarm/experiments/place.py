"""Where an experiment lies: its file and results below `experiments/`, what its units write in artifacts/."""

from dataclasses import dataclass
from os.path import normpath
from pathlib import Path

from genarm.config import nearest
from genarm.errors import ConfigError

FILE = "experiment.yaml"


@dataclass(frozen=True, slots=True)
class Place:
    """The paths of one experiment."""

    root: Path
    name: str

    @property
    def folder(self) -> Path:
        """The experiment's own folder."""
        return self.root / "experiments" / self.name

    @property
    def file(self) -> Path:
        """What somebody wrote."""
        return self.folder / FILE

    @property
    def stages(self) -> Path:
        """The stages that DVC runs, made from the file."""
        return self.folder / "dvc.yaml"

    @property
    def units(self) -> Path:
        """All that each stage depends on besides files, by its name."""
        return self.folder / "units.yaml"

    @property
    def results(self) -> Path:
        """The folder of table, page and numbers."""
        return self.folder / "results"

    @property
    def artifacts(self) -> Path:
        """What the units write."""
        return self.root / "artifacts" / "experiments" / self.name

    def pairs(self, dimension: str) -> Path:
        """A folder with the splits of one dimension's pairs."""
        return self.artifacts / "pairs" / dimension

    @property
    def prompts(self) -> Path:
        """What every method answers."""
        return self.artifacts / "prompts" / "evaluation.jsonl"

    @property
    def validation(self) -> Path:
        """The prompts that settings are chosen on."""
        return self.artifacts / "prompts" / "validation.jsonl"

    def model(self, name: str, seed: int) -> Path:
        """The folder of a trained model."""
        return self.artifacts / "models" / name / str(seed)

    def training(self, name: str, seed: int) -> Path:
        """The metrics of its training, with its seconds."""
        return self.artifacts / "training" / f"{name}-{seed}.json"

    def curves(self, name: str, seed: int) -> Path:
        """The curves of its training, a row a logged step."""
        return self.artifacts / "training" / f"{name}-{seed}.csv"

    def checkpoints(self, name: str, seed: int) -> Path:
        """Where a training that was killed resumes from."""
        return self.root / ".cache" / "experiments" / self.name / f"{name}-{seed}"

    def kept(self, row: str, seed: int) -> Path:
        """What a row has answered until its unit is done. `genarm run` forgets what the project keeps."""
        return self.root / ".cache" / "experiments" / self.name / "answers" / f"{row}-{seed}"

    def kept_trials(self, row: str) -> Path:
        """What a row has answered under settings that were tried, until its tuning is done."""
        return self.root / ".cache" / "experiments" / self.name / "trials" / row

    @property
    def kept_scores(self) -> Path:
        """What judges gave to responses, which every row that is compared with them needs."""
        return self.root / ".cache" / "experiments" / self.name / "scores"

    def answers(self, row: str, seed: int) -> Path:
        """The responses of a row."""
        return self.artifacts / "answers" / f"{row}-{seed}.jsonl"

    def cost(self, row: str, seed: int) -> Path:
        """What they took: seconds, tokens, passes."""
        return self.artifacts / "cost" / f"{row}-{seed}.json"

    @property
    def base_on_validation(self) -> Path:
        """The base's responses to the validation prompts."""
        return self.artifacts / "answers" / "validation.jsonl"

    def tuned(self, row: str) -> Path:
        """The settings that were chosen for a row, and the curve that they were chosen from."""
        return self.artifacts / "tuned" / f"{row}.json"

    def verdicts(self, row: str) -> Path:
        """What the judges said of a row's responses."""
        return self.artifacts / "verdicts" / f"{row}.jsonl"

    def speed(self, row: str) -> Path:
        """How long a response takes, and what it reads."""
        return self.artifacts / "speed" / f"{row}.json"

    def relative(self, path: Path) -> str:
        """A path from the project's root, or as it is where it lies elsewhere."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)

    def holds(self, given: str) -> bool:
        """Whether a path that somebody wrote lies in the project; a link in it may lead elsewhere."""
        return Path(normpath(self.root / Path(given).expanduser())).is_relative_to(self.root)

    def shown(self, given: str) -> str:
        """A path as it is within the project, from its root; of one elsewhere on this machine its name."""
        path = Path(normpath(self.root / Path(given).expanduser()))
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.name


def find(root: Path, name: str) -> Place:
    """The place of an experiment by name. Raises ConfigError where there is none."""
    place = Place(root, name)
    if not place.file.is_file():
        known = sorted(file.parent.name for file in (root / "experiments").glob(f"*/{FILE}"))
        raise ConfigError(
            f"there is no experiment {name!r}{nearest(name, known)}: no file {place.relative(place.file)}",
            hint=f"experiments here: {', '.join(known) or 'none'}; docs/experiments.md says how to write one",
        )
    return place
