"""The base model: where it is, or where a run would get it from."""

from pathlib import Path

from genarm import models
from genarm.config import Params
from genarm.errors import ConfigError, GenarmError
from genarm.models.model_files import check_folder
from genarm.models.weights import weight_files
from genarm.pipeline.check_result import CheckResult, fail
from genarm.pipeline.decodable import check_decodable
from genarm.pipeline.preflight.models import folder_of, located
from genarm.pipeline.project import Project


def base_model(root: Path) -> list[CheckResult]:
    """Check that the base model of params.yaml is there, or can be fetched or converted."""
    try:
        params = Project(root).params
    except ConfigError:
        return []  # reported by the check of params.yaml
    found = located("base model", "base.model", params.base.model, params.base.revision)
    folder = folder_of(params.base.model, params.base.revision)
    if found.status == "ok" and folder:
        try:
            _check_usable(params, folder)
        except GenarmError as error:
            return [fail("base model", error.message, error.hint)]
    return [found]


def _check_usable(params: Params, folder: Path) -> None:
    """Raise what a run would raise for a base model on disk; its weights are not read.

    The default is known to be in order but for its files, and loading nothing keeps the doctor quick.
    """
    weight_files(folder)
    base = params.base
    if base.model == models.EMBEDDED and base.chat_template is None:
        return
    check_folder(folder)
    source = models.ModelSource(base.model, base.revision, folder, "", "", base.chat_template)
    models.load_tokenizer(source)
    check_decodable(params, source)
