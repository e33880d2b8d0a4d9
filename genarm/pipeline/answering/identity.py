"""What a guided server and a stage must share for the same request to have the same response."""

from genarm import __version__
from genarm.pipeline.project import Project


def identity(project: Project) -> dict[str, str]:
    """Base model and precision by content, and the version of genarm; not where anything lies."""
    base = project.base
    return {
        "base weights sha256": base.weights_sha256,
        "tokenizer sha256": base.tokenizer_sha256,
        "dtype": project.params.base.dtype,
        "genarm": __version__,
    }
