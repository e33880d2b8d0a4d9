"""Which judges of an experiment made labels of its pairs, by what the units `pairs-*` wrote."""

from collections.abc import Callable

from genarm.experiments.load import Experiment
from genarm.system.files import read_json


def labelled_by(experiment: Experiment, dimension: str) -> list[str]:
    """Who labelled the pairs of a dimension that were made."""
    stats = experiment.place.pairs(dimension) / "stats.json"
    who = read_json(stats, dict[str, object]).get("labelled_by") if stats.is_file() else None
    return [str(one) for one in who] if isinstance(who, list) else []


def made_labels(
    experiment: Experiment,
    dimension: str,
    judge: str,
    labelled: Callable[[Experiment, str], list[str]] = labelled_by,
) -> bool:
    """Whether a judge made labels of any pairs, so that it says nothing of what people prefer.

    The judge of one dimension may have labelled another one's pairs. `labelled` says who labelled those of a
    dimension.
    """
    given = getattr(experiment.config.judges[dimension], judge)
    who = [one for named in experiment.config.data for one in labelled(experiment, named)]
    return any(one.split(",")[0].strip() == given.name for one in who)
