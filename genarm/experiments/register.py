"""`genarm compare NAME --register ROW`: the method of a row becomes a version, on trial like an ARM."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from genarm import registry
from genarm.config import nearest
from genarm.errors import AdapterError, ConfigError, PipelineError
from genarm.experiments.load import Experiment
from genarm.experiments.plan import plan
from genarm.experiments.record import metrics_of
from genarm.experiments.tables import Results
from genarm.experiments.units import model_folder
from genarm.experiments.versions import MAKERS, REFUSED, VersionContext
from genarm.pipeline.lineage import git_dirty, provenance
from genarm.system.files import read_json, sha256
from genarm.types import ArmCard


@dataclass(frozen=True, slots=True)
class Registered:
    """A version that was made of a row."""

    dimension: str
    version: int
    row: str
    method: str
    seed: int

    def __str__(self) -> str:
        return (
            f"{self.row} ({self.method}, seed {self.seed}) is version {self.version} of "
            f"{registry.tags.model_name(self.dimension)}, on trial\n"
            f"to use it: genarm registry promote {self.dimension} --version {self.version} --force REASON"
        )


def register(
    experiment: Experiment, row: str, *, seed: int | None = None, dimension: str | None = None
) -> Registered:
    """Register what a row answers with: its models of one training seed at the settings that were measured.

    `dimension` is whose version it becomes, by default that of the experiment's win rates. The same row again
    gives the same version. Raises ConfigError for a row that cannot be served, saying why, and for a seed or
    dimension that is not known; AdapterError where the experiment's base is not the project's; PipelineError
    where the row was not measured as the experiment is now.
    """
    config, place = experiment.config, experiment.place
    where = place.relative(place.file)
    if row not in config.methods:
        raise ConfigError(
            f"{where} has no row {row!r}{nearest(row, config.methods)}",
            hint=f"rows: {', '.join(config.methods)}",
        )
    method = config.methods[row].method
    if method in REFUSED:
        raise ConfigError(f"row {row!r} of {where} is {method}, and is not registered", hint=REFUSED[method])
    chosen = config.seeds[0] if seed is None else seed
    if chosen not in config.seeds:
        raise ConfigError(
            f"{where} trains with the seeds {', '.join(map(str, config.seeds))}, not with {chosen}",
            hint="give one of these as --seed",
        )
    of = _dimension(experiment, dimension)
    project = experiment.project
    ours, theirs = project.base, experiment.base
    if (ours.weights_sha256, ours.tokenizer_sha256) != (theirs.weights_sha256, theirs.tokenizer_sha256):
        raise AdapterError(
            f"{where} is on base {theirs.id!r}, and params.yaml guides {ours.id!r}",
            hint="register from an experiment on the base of params.yaml",
        )
    _check_measured(experiment, row)
    results = read_json(place.results / "results.json", Results)
    measured = next(found for found in results.rows if found.name == row)
    context = VersionContext(
        base=theirs,
        dtype=experiment.base_config.dtype,
        models={name: model_folder(experiment, name, chosen) for name in experiment.models_of(row)},
        dimension=of,
        provenance=provenance(project, of, None),
        origin={
            "experiment": place.name,
            "row": row,
            "seed": chosen,
            "comparison_sha256": sha256(place.results / "results.json"),
        },
    )
    metrics = metrics_of(measured, next(iter(results.judges)))
    with tempfile.TemporaryDirectory(prefix="genarm-version-") as temporary:
        folder = Path(temporary) / "version"
        _make(context, row, method, measured.settings, folder)
        number = registry.connect(place.root).register_compared(
            of,
            folder,
            place.results,
            experiment=place.name,
            row=row,
            method=method,
            metrics={f"compare/{name}": value for name, value in metrics.items()},
            lineage={"git dirty": str(git_dirty(place.root)).lower(), "seed": str(chosen)},
        )
    return Registered(of, number, row, method, chosen)


def _make(context: VersionContext, row: str, method: str, settings: object, folder: Path) -> ArmCard:
    assert isinstance(settings, dict)
    try:
        return MAKERS[method](context, settings, folder)
    except ConfigError as error:
        raise ConfigError(f"row {row!r} is not registered: {error.message}", hint=error.hint) from None


def _dimension(experiment: Experiment, asked: str | None) -> str:
    """Whose version it becomes: one of the project, which the registry and the stages know."""
    known, first = experiment.project.params.dimensions, next(iter(experiment.config.judges))
    if (asked or first) not in known:
        raise ConfigError(
            f"{asked or first!r} is no dimension of params.yaml{nearest(asked or first, known)}",
            hint=f"name one with --dimension: {', '.join(known)}",
        )
    return asked or first


def _check_measured(experiment: Experiment, row: str) -> None:
    """Raise PipelineError where some unit that the row rests on would run: models and numbers then differ."""
    models = {f"train-{m}-{s}" for m in experiment.all_models(row) for s in experiment.config.seeds}
    answers = {f"answer-{row}-{seed}" for seed in experiment.seeds(row)}
    needed = models | answers | {f"tune-{row}", f"judge-{row}", "table"}
    for unit in plan(experiment):
        if unit.runs and unit.unit in needed:
            name = experiment.place.name
            raise PipelineError(
                f"experiment {name}: {unit.unit} would run ({unit.why}), so {row!r} is not what was measured",
                hint=f"genarm compare {name}",
            )
