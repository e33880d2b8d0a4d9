"""Best of n on disk: a folder like that of an ARM, with what chooses in it, and the same card.

chosen by a reward model    a transformers folder with its tokenizer
chosen by an ARM            a PEFT folder, or a full model

The configuration takes the place of the scorer's own and holds that one. So the hash of the card covers n and
what chooses, and whoever does not know such folders, an earlier genarm for one, refuses it as an unknown kind
of adapter or model.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from genarm.errors import AdapterError
from genarm.models import ModelSource
from genarm.models.arm import CONFIG, FULL, files, is_full, read_card, write_card
from genarm.models.arm_card import card_of
from genarm.models.judge_folder import CARD as JUDGE_CARD
from genarm.models.judge_folder import CONVERSATIONS
from genarm.system.files import write_json
from genarm.types import ArmCard, Provenance

KIND = "GENARM_BEST_OF_N"
By = Literal["reward", "arm", "implicit"]


@dataclass(frozen=True, slots=True)
class BestOf:
    """How many responses are drawn, and by what the best is chosen; `scorer` is the scorer's configuration.

    reward      the score of a reward model
    arm         sum_t log p_arm
    implicit    sum_t (log p_arm - log p_start)
    """

    n: int
    by: By
    scorer: Mapping[str, Any]

    def __str__(self) -> str:
        who = {"reward": "a reward model", "arm": "an ARM", "implicit": "the implicit reward of an ARM"}
        return f"the best of {self.n} by {who[self.by]}"


def best_of(folder: Path) -> BestOf | None:
    """What a folder says of best of n; None for an ARM, or for what is no folder.

    Raises AdapterError where it says what makes no sense.
    """
    file = _config(folder)
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # whoever reads it as an ARM says what is wrong
        return None
    if not isinstance(config, Mapping) or config.get("peft_type") != KIND:
        return None
    n, scorer = config.get("n"), config.get("scorer")
    by: By | None = next((known for known in get_args(By) if known == config.get("by")), None)
    if not isinstance(n, int) or n < 2 or by is None or not isinstance(scorer, Mapping):
        raise AdapterError(
            f"{file} says n = {n!r}, by = {config.get('by')!r}, which is no best of n",
            hint="restore it from the registry (genarm registry)",
        )
    return BestOf(n, by, scorer)


def write_best_of(
    scorer: Path,
    n: int,
    by: By,
    *,
    out: Path,
    dimension: str,
    base: ModelSource,
    dtype: str,
    provenance: Provenance,
    params: Mapping[str, object],
) -> ArmCard:
    """Write best of `n` by the scorer in a folder to the new folder `out`; its card.

    Raises AdapterError for an n below 2, and where the scorer is to be an ARM and is none.
    """
    if n < 2:
        raise AdapterError(f"the best of {n} is the base itself", hint="draw at least two responses")
    out.mkdir(parents=True)
    own = card_of(
        dimension,
        base,
        replace(provenance, weight=1.0, guidance="sum", warm_start=None),
        beta=0.0,
        pairs_sha256="",
        dtype=dtype,
    )
    if by == "reward":
        judge = _judge(scorer)
        known: dict[str, object] = {"scorer_sha256": judge.get("sha256")}
        card = replace(own, pairs_sha256=str(judge.get("pairs_sha256") or "unknown"))
        parts = sorted(f.name for f in scorer.iterdir() if f.is_file())
    else:
        of = read_card(scorer)
        known, parts = {"scorer_sha256": of.adapter_sha256}, files(scorer)
        card = replace(
            of,
            dimension=dimension,
            weight=1.0,
            guidance="sum",
            data_md5=provenance.data_md5,
            git_commit=provenance.git_commit,
            warm_start=None,
            metrics={},
        )
    config = _config(scorer)
    for name in parts:
        if name not in (config.name, JUDGE_CARD, CONVERSATIONS):
            shutil.copyfile(scorer / name, out / name)
    inside = json.loads(config.read_text(encoding="utf-8"))
    write_json(out / config.name, {"peft_type": KIND, "model_type": KIND, "n": n, "by": by, "scorer": inside})
    about = {"method": "best_of_n", "n": n, "by": by, **known, **params}
    return write_card(out, replace(card, params=about))


@contextmanager
def scorer_of(folder: Path) -> Iterator[Path]:
    """The scorer of such a folder as a folder of its own, which is there while the block runs.

    Nothing is copied: weights and tokenizer are links. Raises AdapterError for a folder that was altered.
    """
    card, found = read_card(folder), best_of(folder)
    assert found is not None, "asked for the scorer of an ARM"
    with tempfile.TemporaryDirectory(prefix="genarm-scorer-") as temporary:
        into = Path(temporary) / card.dimension
        into.mkdir()
        config = _config(folder)
        for name in files(folder):
            if name != config.name:
                (into / name).symlink_to((folder / name).resolve())
        write_json(into / config.name, found.scorer)
        if found.by != "reward":
            write_card(into, card)
        yield into


def _config(folder: Path) -> Path:
    return folder / (FULL if is_full(folder) else CONFIG)


def _judge(folder: Path) -> Mapping[str, Any]:
    """What the card of a trained judge says; a reward model from elsewhere has none."""
    try:
        card = json.loads((folder / JUDGE_CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return card if isinstance(card, Mapping) else {}
