"""The folder `seed/`: its prompts, the preference pairs made from them, and the card that describes them.

No time, path or machine is written, so that the same responses give the same bytes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from genarm import models
from genarm.config import JudgeConfig
from genarm.data.labels import FILE as LABELS
from genarm.errors import DataError
from genarm.judges import load_scorer, scorer_identity
from genarm.synthesis.card import card
from genarm.synthesis.synthesize import Settings, synthesize
from genarm.system.files import read_rows, sha256, write_rows, write_text
from genarm.system.progress import counting
from genarm.types import Message, PreferencePair, Prompt


def write_seed(root: Path, base: str = models.EMBEDDED, settings: Settings | None = None) -> str:
    """Make a file of pairs for each dimension and the data card, all in seed/, from seed/prompts.jsonl.

    Returns a one-line summary. The same prompts, settings and weights give the same bytes on the same kind of
    processor. Raises DataError, and writes nothing, for a bad prompt row or a dimension without pairs.
    """
    from genarm.decoding import load_decoder

    settings = settings or Settings()
    folder = root / "seed"
    prompts = [row.as_prompt() for row in read_rows(folder / "prompts.jsonl", _PromptRow)]
    source = models.resolve(base)
    configs = {d: JudgeConfig(scorer=d) for d in settings.gaps}
    scorers = {d: load_scorer(config) for d, config in configs.items()}
    decoder = load_decoder(source, {}, dtype="bfloat16", batch_size=32)
    tokens = len(prompts) * settings.samples * settings.max_new_tokens
    with _one_thread(), counting("sampling responses", tokens, "tokens") as on_tokens:
        made = synthesize(prompts, decoder, models.load_tokenizer(source), scorers, settings, on_tokens)
    if empty := [d for d, pairs in made.pairs.items() if not pairs]:
        raise DataError(
            f"no two responses of {len(made.candidates)} lie the least gap apart on {empty[0]!r}",
            hint="lower its gap, sample more, or raise the temperature",
        )
    for dimension, pairs in made.pairs.items():
        write_rows(folder / f"{dimension}.jsonl", (_trl(pair) for pair in pairs))
    write_text(folder / LABELS, "".join(f"{d}.jsonl: {scorer_identity(c)}\n" for d, c in configs.items()))
    write_text(folder / "README.md", card(made, settings, source, sha256(folder / "prompts.jsonl")))
    return ", ".join(f"{d}: {len(p)} pairs" for d, p in made.pairs.items()) + f" in {folder}"


class _PromptRow(BaseModel):
    """A line of prompts.jsonl: one user turn."""

    model_config = ConfigDict(extra="forbid")
    prompt: str

    def as_prompt(self) -> Prompt:
        return Prompt((Message("user", self.prompt),))


def _trl(pair: PreferencePair) -> dict[str, object]:
    turns = [{"role": m.role, "content": m.content} for m in pair.prompt.messages]
    return {"prompt": turns, "chosen": pair.chosen, "rejected": pair.rejected}


@contextmanager
def _one_thread() -> Iterator[None]:
    """Two cores add in another order than one, which rounds differently and in the end draws other tokens."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
