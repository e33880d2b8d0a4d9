"""Where everything lies below the project's root: the paths that stages and commands share."""

from dataclasses import dataclass
from pathlib import Path

from genarm.types import Side, Split


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one project."""

    root: Path

    @property
    def params(self) -> Path:
        """Every parameter of the pipeline."""
        return self.root / "params.yaml"

    @property
    def data(self) -> Path:
        """The preference data, as the data version has it."""
        return self.root / "data"

    @property
    def artifacts(self) -> Path:
        """Everything that stages write."""
        return self.root / "artifacts"

    @property
    def champions(self) -> Path:
        """The snapshot of the champion aliases."""
        return self.root / "mlflow" / "champions.json"

    @property
    def incumbents(self) -> Path:
        """The champions that challengers were measured against, on which the stages depend."""
        return self.root / "mlflow" / "incumbents.json"

    @property
    def starts(self) -> Path:
        """The versions that training starts from; null where it starts anew, as it does by default."""
        return self.root / "mlflow" / "starts.json"

    @property
    def judge_checks(self) -> Path:
        """How far the judges agree with people, as `genarm judge-check` noted it."""
        return self.root / "judge-checks.json"

    @property
    def looks(self) -> Path:
        """The numbers of prompts after which each dimension was looked at; null where a run decides once."""
        return self.root / "mlflow" / "looks.json"

    @property
    def kept(self) -> Path:
        """Answers and verdicts of earlier looks, which are not made again."""
        return self.root / ".cache" / "kept"

    def start_arm(self, dimension: str) -> Path:
        """The ARM that training starts from, as fetched from the registry."""
        return self.artifacts / "starts" / dimension

    @property
    def prompts(self) -> Path:
        """The evaluation prompts, one JSON line each."""
        return self.artifacts / "prompts.jsonl"

    def quarantine(self, dimension: str) -> Path:
        """The rows of the preference data that were refused, with the reasons."""
        return self.artifacts / "pairs" / dimension / "quarantine.jsonl"

    def pairs_stats(self, dimension: str) -> Path:
        """Counts of rows, pairs and tokens."""
        return self.artifacts / "pairs" / dimension / "stats.json"

    def pairs(self, dimension: str, split: Split) -> Path:
        """The pairs of one split, one JSON line each."""
        return self.artifacts / "pairs" / dimension / f"{split}.jsonl"

    def arm(self, dimension: str) -> Path:
        """The challenger's PEFT folder."""
        return self.artifacts / "arms" / dimension

    def champion_arm(self, dimension: str) -> Path:
        """The champion's PEFT folder, as fetched from the registry."""
        return self.artifacts / "champions" / dimension

    def trained_judge(self, dimension: str, version: int) -> Path:
        """A judge that was trained here, as fetched from the registry."""
        return self.artifacts / "judges" / dimension / str(version)

    def checkpoints(self, dimension: str) -> Path:
        """Where a training that is cut short resumes from."""
        return self.artifacts / "checkpoints" / dimension

    def train_metrics(self, dimension: str) -> Path:
        """The metrics of a finished training."""
        return self.artifacts / "train" / dimension / "metrics.json"

    def train_curves(self, dimension: str) -> Path:
        """One row a step and one an evaluation, as CSV."""
        return self.artifacts / "train" / dimension / "curves.csv"

    def train_hash(self, dimension: str) -> Path:
        """The hash of the ARM, on which answering depends: its card holds more than decoding needs."""
        return self.artifacts / "train" / dimension / "arm.sha256"

    def train_quarantine(self, dimension: str) -> Path:
        """The pairs that were too long for the model."""
        return self.artifacts / "train" / dimension / "quarantine.jsonl"

    def tuned(self, dimension: str) -> Path:
        """The weight that an ARM guides with, why, and the curve that it was chosen from."""
        return self.artifacts / "tune" / dimension / "tuned.json"

    def tuned_strength(self, dimension: str) -> Path:
        """Weight and guidance alone, on which answering depends: a new curve need not change them."""
        return self.artifacts / "tune" / dimension / "strength.json"

    def tuned_curve(self, dimension: str) -> Path:
        """The curve as CSV, one row a weight; empty but for its header where nothing was tried."""
        return self.artifacts / "tune" / dimension / "curve.csv"

    @property
    def front(self) -> Path:
        """The folder that `genarm front` writes."""
        return self.artifacts / "front"

    def responses(self, side: Side, dimension: str | None = None) -> Path:
        """One JSON line a prompt; the base has one file, the others one for each dimension."""
        name = "base" if dimension is None else f"{side}/{dimension}"
        return self.artifacts / "responses" / f"{name}.jsonl"

    def respond_cost(self, side: Side, dimension: str | None = None) -> Path:
        """The seconds that a side's answers took, where all came at once; shown in the report."""
        name = "base" if dimension is None else f"{side}-{dimension}"
        return self.artifacts / "cost" / f"respond-{name}.json"

    def verdicts(self, dimension: str) -> Path:
        """What the judges said of one dimension's challenger, one JSON line a verdict."""
        return self.artifacts / "verdicts" / f"{dimension}.jsonl"

    @property
    def judge_replies(self) -> Path:
        """What language models answered as judges, so that nothing is asked, or paid for, twice."""
        return self.root / ".cache" / "judges" / "replies.sqlite"

    def judge_statistics(self, dimension: str, stage: str = "judge") -> Path:
        """What the judges that a stage asked cost, and how they judged; no stage depends on it."""
        return self.artifacts / "cost" / f"{stage}-{dimension}.json"

    @property
    def decisions(self) -> Path:
        """The decision of each dimension, with its reasons."""
        return self.artifacts / "decisions.json"

    @property
    def metrics(self) -> Path:
        """A few numbers on each challenger, for `dvc exp show` and `dvc metrics diff`."""
        return self.artifacts / "metrics.json"

    @property
    def scorecards(self) -> Path:
        """All that was measured of each challenger."""
        return self.artifacts / "scorecards.json"

    @property
    def lineage(self) -> Path:
        """Run and version ids as the flow noted them; shown in the report, no stage depends on them."""
        return self.artifacts / "lineage.json"

    @property
    def report(self) -> Path:
        """The folder of the report."""
        return self.artifacts / "report"

    @property
    def canary(self) -> Path:
        """What champion and challenger answered in service, until it is judged."""
        return self.root / ".cache" / "canary"

    def judge_training(self, dimension: str) -> Path:
        """Where the training of a judge works, and a killed one resumes from."""
        return self.root / ".cache" / "train-judge" / dimension

    @property
    def lock(self) -> Path:
        """Held by the run in progress."""
        return self.root / ".cache" / "run.lock"
