"""Judges that made the labels, told before a run: pairs that are yet to be made are looked up in the data."""

from collections.abc import Collection

from genarm.data import labels
from genarm.data.files import find_files
from genarm.errors import DataError
from genarm.experiments.labels import labelled_by, made_labels
from genarm.experiments.load import Experiment
from genarm.experiments.results import judges, key


def label_warnings(experiment: Experiment, waiting: Collection[str]) -> list[str]:
    """A sentence for each judge that made labels, in a run in which the units `waiting` would run."""

    def labelled(of: Experiment, dimension: str) -> list[str]:
        made = f"pairs-{dimension}" not in waiting
        return labelled_by(of, dimension) if made else _by_the_data(of, dimension)

    return [
        f"{key(*judge)} made the labels that every model learns from: its columns are marked, and show "
        "whether a method does what it was told, not whether people would agree"
        for judge in judges(experiment)
        if made_labels(experiment, *judge, labelled)
    ]


def _by_the_data(experiment: Experiment, dimension: str) -> list[str]:
    """Who labelled the data, or will label it anew; nobody where the data is not there yet."""
    data = experiment.data(dimension)
    if data.relabel is not None:
        return [data.relabel.name]
    folder = experiment.place.root / data.folder
    try:
        files = find_files(folder, data.files, tell=False)
        return labels.labelled_by(folder, [file.relative_to(folder).as_posix() for file in files])
    except DataError:  # the unit that makes the pairs says it with more words
        return []
