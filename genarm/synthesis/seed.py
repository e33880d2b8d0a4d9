"""The folder `seed/`: its prompts, the preference pairs made of them, and the card that says what they are.

Nothing of time, place or machine is written, so that the same responses give the same bytes.
"""

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from genarm import models
from genarm.config import ScorerConfig
from genarm.data.lengths import longer_is_chosen
from genarm.errors import DataError
from genarm.judges import load_scorer
from genarm.models import ModelSource
from genarm.synthesis.synthesize import Settings, Synthesis, synthesize
from genarm.system.files import read_rows, sha256, write_rows, write_text
from genarm.system.progress import counting
from genarm.types import Message, PreferencePair, Prompt

MEANING = {
    "positive": "more cheerful wording: VADER compound score, vaderSentiment 3.3.2",
    "plain": "easier wording: Flesch reading ease, textstat 0.7.8, clipped to [-50, 120]",
}


def write_seed(root: Path, base: str = models.EMBEDDED, settings: Settings | None = None) -> str:
    """seed/prompts.jsonl -> a file of pairs a dimension and the data card, all in seed/; a line that sums up.

    The same prompts, settings and weights give the same bytes on the same kind of processor. Raises
    DataError, and writes nothing, for a bad prompt row or a dimension without any pair.
    """
    from genarm.decoding import load_decoder

    settings = settings or Settings()
    folder = root / "seed"
    prompts = [row.as_prompt() for row in read_rows(folder / "prompts.jsonl", _PromptRow)]
    source = models.resolve(base)
    scorers = {d: load_scorer(ScorerConfig(scorer=d)) for d in settings.gaps}
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
    """Two cores add up in another order than one, which rounds, and in the end draws, differently."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def card(made: Synthesis, settings: Settings, source: ModelSource, prompts_sha256: str) -> str:
    """The card as Markdown. `prompts_sha256` is that of prompts.jsonl."""
    texts = [c.text for c in made.candidates]
    words = statistics.fmean(len(t.split()) for t in texts)
    return f"""# Seed preferences

Preference pairs for the embedded default, made by `genarm synthesize`, on one thread since more would add up
in another order. Running it again gives the same bytes on the same kind of processor; another one may round
differently and so draw other tokens.

| file | rows | what |
|---|---|---|
| `prompts.jsonl` | {made.prompts} | prompts written for this project, one user turn each |
{_file_rows(made)}

Each pair is a line in TRL's format:
`{{"prompt": [{{"role": "user", "content": ...}}], "chosen": ..., "rejected": ...}}`.

## How they were made

1. **Sample.** Every prompt is answered {settings.samples} times by the base model, unguided and in bfloat16:
   temperature {settings.temperature}, top-p {settings.top_p}, at most {settings.max_new_tokens} new tokens.
   Sample k of a prompt, from 0, draws with seed {settings.seed} + k hashed with the prompt. Temperature 1 was
   tried and left: a model of this size loses its thread there.
2. **Trim.** A response that the length limit cut ends at its last whole sentence, so that an ARM does not
   learn to stop in the middle of one. A response that ended by itself is kept as it is.
3. **Drop.** A response goes if it has fewer than {settings.min_words} words, if more than
   {settings.max_repetition:.0%} of its 4-grams of words were seen before in it, or if it equals another
   response to the prompt: {made.drawn - len(texts)} of {made.drawn} went, {len(texts)} are left.
4. **Pair.** Two responses to one prompt make a pair on a dimension if their scores lie at least the gap below
   apart; the higher score is chosen. Closer pairs say more of the scorer's noise than of the wording.

| | |
|---|---|
| base model | `{source.id}` |
| weights sha256 | `{source.weights_sha256}` |
| tokenizer sha256 | `{source.tokenizer_sha256}` |
| prompts.jsonl sha256 | `{prompts_sha256}` |

## What is in them

Scores of the {len(texts)} responses, and the pairs made of them:

| dimension | mean | deviation | 10% | 50% | 90% | least gap | pairs | prompts | longer is chosen |
|---|---|---|---|---|---|---|---|---|---|
{_dimension_rows(made, settings)}

"Longer is chosen" is the share of pairs whose chosen response has more words, ties half: an ARM has to beat
it to have learned more than length. Responses have {words:.1f} words on average.
{_agreement(made)}
## Limits

- The scorers are lexicons and formulas: they read words, not meaning. VADER takes "the pain is gone" for bad
  news, Flesch takes short words for clear thought. Both know English only.
- The responses are those of a model with 135 million parameters: fluent, often wrong, now and then odd. They
  show style; nothing in them is a fact to learn.
- Labels and the default judges are the same scorers. That proves the machinery, not that people agree.
- No person ranked anything, and no personal data is in the prompts.

## Licence

Apache-2.0, the prompts and the responses alike; the base model, SmolLM2-135M-Instruct, is Apache-2.0 too.
"""


def _file_rows(made: Synthesis) -> str:
    return "\n".join(
        f"| `{d}.jsonl` | {len(pairs)} | pairs; chosen has {MEANING.get(d, f'the higher score by {d}')} |"
        for d, pairs in made.pairs.items()
    )


def _dimension_rows(made: Synthesis, settings: Settings) -> str:
    rows = []
    for dimension, pairs in made.pairs.items():
        scores = [c.scores[dimension] for c in made.candidates]
        tenths = statistics.quantiles(scores, n=10)
        numbers = [statistics.fmean(scores), statistics.stdev(scores), tenths[0], tenths[4], tenths[8]]
        cells = [dimension, *(f"{x:.2f}" for x in numbers), f"{settings.gaps[dimension]:g}", str(len(pairs))]
        words = [(len(p.chosen.split()), len(p.rejected.split())) for p in pairs]
        cells += [str(len({p.prompt for p in pairs})), f"{longer_is_chosen(words):.2f}"]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _agreement(made: Synthesis) -> str:
    """How far the first two dimensions go together; nothing where there is only one."""
    if len(made.pairs) < 2:
        return ""
    from scipy.stats import spearmanr

    one, other = list(made.pairs)[:2]
    columns = [[c.scores[d] for c in made.candidates] for d in (one, other)]
    sides = {(p.prompt, frozenset((p.chosen, p.rejected))): p.chosen for p in made.pairs[one]}
    common = [
        sides[key] == p.chosen
        for p in made.pairs[other]
        if (key := (p.prompt, frozenset((p.chosen, p.rejected)))) in sides
    ]
    share = f"{statistics.fmean(common):.0%}" if common else "none"
    return (
        f"`{one}` and `{other}` rank the responses with Spearman correlation "
        f"{spearmanr(*columns).statistic:.2f};\n"
        f"of the {len(common)} pairs that both have, {share} have the same side chosen.\n"
    )
