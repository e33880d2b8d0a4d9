"""The last check before an ARM becomes the champion: it loads as it would be served, and it guides."""

from pathlib import Path

from genarm.errors import AdapterError
from genarm.models import load_tokenizer, render
from genarm.pipeline.project import Project
from genarm.types import Message


def smoke_test(project: Project, dimension: str, folder: Path) -> None:
    """Load an ARM and let it answer once. Raises AdapterError if nothing comes, or what the base says."""
    # Flows import this module before they prepare the environment, and torch reads it when it is imported.
    from genarm.decoding import GuidedRequest, load_decoder

    base = project.base
    prompt = render(load_tokenizer(base), [Message("user", "Say hello.")])
    weights = {dimension: project.params.respond.weights[dimension]}
    decoder = load_decoder(base, {dimension: folder}, dtype=project.params.base.dtype, batch_size=1)
    (answer,) = decoder.generate([GuidedRequest(tuple(prompt), weights, max_new_tokens=8)])
    if not answer.tokens or answer.kl <= 0:
        raise AdapterError(
            f"{folder} loads but does not guide: {len(answer.tokens)} tokens, KL to the base {answer.kl}",
            hint="train it again; an adapter of zeros is the base model",
        )
