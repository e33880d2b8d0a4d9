"""The decoder that the stages answer with, opened as `params.yaml` says."""

from collections.abc import Mapping
from pathlib import Path

from genarm.decoding import GuidedDecoder, load_decoder
from genarm.errors import GenarmError
from genarm.pipeline.project import Project
from genarm.types import Guidance


def open_decoder(project: Project, folders: Mapping[str, Path], guidance: Guidance = "sum") -> GuidedDecoder:
    """The base with the ARMs in these folders, by name. Raises what `load_decoder` raises."""
    sampling = project.params.respond.sampling
    return load_decoder(
        project.base,
        folders,
        dtype=project.params.base.dtype,
        strategy=sampling.strategy,
        batch_size=sampling.batch_size,
        # The base answers alone before it is guided; then there is nothing that could draft.
        speculate=sampling.speculate and bool(folders),
        device_map=project.params.base.device_map,
        compiled=sampling.compiled,
        contrast=guidance == "contrast",
    )


def trained_arm(project: Project, dimension: str) -> Path:
    """The folder of a dimension's challenger. Raises GenarmError where nothing is trained yet."""
    folder = project.layout.arm(dimension)
    if not folder.is_dir():
        raise GenarmError(f"no ARM at {folder}", hint=f"train it first: genarm train {dimension}")
    return folder
