"""Where everything lies below the project's root: the one place that knows a path."""

from dataclasses import dataclass
from pathlib import Path

from genarm.types import Side, Split


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one project."""

    root: Path

    @property
    def params(self) -> Path:
        """The parameters of every stage."""
        return self.root / "params.yaml"

    @property
    def data(self) -> Path:
        """The preference data, as DVC puts it in place."""
        return self.root / "data"

    @property
    def artifacts(self) -> Path:
        """Everything that the stages write."""
        return self.root / "artifacts"

    @property
    def champions(self) -> Path:
        """The snapshot of the champion aliases that the stages depend on."""
        return self.root / "mlflow" / "champions.json"

    @property
    def starts(self) -> Path:
        """The versions that training goes on from; null where it starts anew, as it does by default."""
        return self.root / "mlflow" / "starts.json"

    def start_arm(self, dimension: str) -> Path:
        """The ARM that training goes on from, as fetched from the registry."""
        return self.artifacts / "starts" / dimension

    @property
    def prompts(self) -> Path:
        """The evaluation prompts of all dimensions, in the order of their ids."""
        return self.artifacts / "pairs" / "prompts.jsonl"

    @property
    def quarantine(self) -> Path:
        """The rows of data/ that were refused, each with its reason."""
        return self.artifacts / "pairs" / "quarantine.jsonl"

    @property
    def pairs_stats(self) -> Path:
        """Counts and lengths of the pairs, by dimension."""
        return self.artifacts / "pairs" / "stats.json"

    def pairs(self, dimension: str, split: Split) -> Path:
        """The pairs of one split of a dimension."""
        return self.artifacts / "pairs" / dimension / f"{split}.jsonl"

    def arm(self, dimension: str) -> Path:
        """The challenger's PEFT folder."""
        return self.artifacts / "arms" / dimension

    def champion_arm(self, dimension: str) -> Path:
        """The champion's PEFT folder, as fetched from the registry."""
        return self.artifacts / "champions" / dimension

    def checkpoints(self, dimension: str) -> Path:
        """The folder from which a training that was cut short resumes."""
        return self.artifacts / "checkpoints" / dimension

    def train_metrics(self, dimension: str) -> Path:
        """The final numbers of a dimension's training."""
        return self.artifacts / "train" / dimension / "metrics.json"

    def train_curves(self, dimension: str) -> Path:
        """The numbers of a dimension's training, step by step."""
        return self.artifacts / "train" / dimension / "curves.csv"

    def train_hash(self, dimension: str) -> Path:
        """The hash of the ARM, on which answering depends: its card says more than decoding needs."""
        return self.artifacts / "train" / dimension / "arm.sha256"

    def train_quarantine(self, dimension: str) -> Path:
        """The pairs that were too long for the model."""
        return self.artifacts / "train" / dimension / "quarantine.jsonl"

    def responses(self, side: Side, dimension: str | None = None) -> Path:
        """One JSON line a prompt; the base has one file, the others one a dimension."""
        name = "base" if dimension is None else f"{side}/{dimension}"
        return self.artifacts / "responses" / f"{name}.jsonl"

    def verdicts(self, dimension: str) -> Path:
        """The verdicts of all judges on the responses of one dimension."""
        return self.artifacts / "verdicts" / f"{dimension}.jsonl"

    @property
    def decisions(self) -> Path:
        """The decision on each challenger, with its reasons."""
        return self.artifacts / "decisions.json"

    @property
    def figures(self) -> Path:
        """A few numbers a challenger, for `dvc exp show` and `dvc metrics diff`."""
        return self.artifacts / "figures.json"

    @property
    def scorecards(self) -> Path:
        """What was measured of each challenger."""
        return self.artifacts / "scorecards.json"

    @property
    def lineage(self) -> Path:
        """Run and version ids as the flow noted them; shown in the report, no stage depends on them."""
        return self.artifacts / "lineage.json"

    @property
    def report(self) -> Path:
        """The folder of the report: an HTML page, Markdown and JSON."""
        return self.artifacts / "report"

    @property
    def lock(self) -> Path:
        """Held by a run, so that no two run in one project at once."""
        return self.root / ".cache" / "run.lock"
