"""The last check before a version becomes the champion: it is what was measured, it loads, and it acts."""

from pathlib import Path

from genarm.errors import AdapterError, ModelError
from genarm.models import ModelSource, load_tokenizer, render, weights_hash
from genarm.models.arm import own_source, read_card
from genarm.pipeline.project import Project
from genarm.types import Message

LEAST = 1e-6  # nats a token: rounding alone lets an adapter of zeros differ from the base by less


def smoke_test(project: Project, dimension: str, folder: Path) -> None:
    """Load a version and let it answer once, on models whose every byte is what it was measured on.

    Raises AdapterError if nothing comes, or what the base says, or best of n prefers nothing; ModelError
    where weights changed in place.
    """
    # Flows import this module before they prepare the environment, and torch reads it when it is imported.
    from genarm.decoding import GuidedRequest
    from genarm.pipeline.served import Choosing, best_of, open_served

    base = project.base
    card = read_card(
        folder, by_content=True
    )  # a version's: it has the strength that the version is used with
    chooses = best_of(folder)  # what chooses lies in the folder itself, every byte of which was just read
    for source in {base} if chooses else {base, own_source(folder, card, base)}:
        _check_content(source)
    prompt = render(load_tokenizer(base), [Message("user", "Say hello.")])
    weights = {dimension: card.weight}
    decoder = open_served(
        base,
        {dimension: folder},
        dtype=project.params.base.dtype,
        batch_size=1,
        contrast=card.guidance == "contrast",
    )
    request = GuidedRequest(tuple(prompt), weights, max_new_tokens=8, guidance=card.guidance)
    if isinstance(decoder, Choosing):
        decoder.check_chooses(request)
        return
    (answer,) = decoder.generate([request])
    if not answer.tokens or answer.kl <= LEAST:
        raise AdapterError(
            f"{folder} loads but does not guide: {len(answer.tokens)} tokens, KL to the base {answer.kl}",
            hint="train it again; an adapter of zeros is the base model",
        )


def _check_content(source: ModelSource) -> None:
    """Refuse weights that differ from their hash, which is noted under sizes and times of files."""
    content = weights_hash(source.path, by_content=True)
    if content != source.weights_sha256:
        raise ModelError(
            f"the weights of {source.id} in {source.path} changed in place: they were "
            f"{source.weights_sha256[:12]}, now they are {content[:12]}",
            hint="download or save the model again, then: genarm run",
        )
