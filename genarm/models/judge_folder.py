"""A trained judge on disk: a plain sequence-classification folder and `judge.json`, which says what it is."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from genarm.errors import DataError, GenarmError, JudgeError
from genarm.models.weights import weights_hash
from genarm.system.files import read_json, sha256, write_json, write_text

CARD = "judge.json"
CONVERSATIONS = "conversations.txt"  # the ids of what it was trained on, one a line
AGAIN = (
    "delete that folder: the next genarm plan fetches it from the registry, which genarm train-judge fills"
)


@dataclass(frozen=True, slots=True)
class JudgeCard:
    """What a trained judge rates, what it was made from, and the hash of all that its scores depend on."""

    dimension: str
    sha256: str
    model_id: str
    model_revision: str | None
    model_weights_sha256: str
    pairs_sha256: str
    data_md5: str | None
    git_commit: str | None
    max_tokens: int
    params: Mapping[str, object] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


def judge_files(folder: Path) -> list[str]:
    """The names of what a trained judge consists of beside its card."""
    return sorted(path.name for path in folder.iterdir() if path.is_file() and path.name != CARD)


def judge_hash(folder: Path, *, by_content: bool = False) -> str:
    """sha256 over weights, configuration, tokenizer and the conversations that it was trained on."""
    small = [name for name in judge_files(folder) if not name.endswith(".safetensors")]
    content = {name: sha256(folder / name) for name in small}
    content["weights"] = weights_hash(folder, by_content=by_content)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_judge(folder: Path, card: JudgeCard, conversations: set[str]) -> JudgeCard:
    """Write ids and card beside the model that lies in `folder`; the card gets the hash of it all."""
    write_text(folder / CONVERSATIONS, "".join(f"{i}\n" for i in sorted(conversations)))
    card = dataclasses.replace(card, sha256=judge_hash(folder))
    write_json(folder / CARD, card)
    return card


def read_judge(folder: Path, *, by_content: bool = False) -> JudgeCard:
    """The card of a trained judge, whose hash is that of its files.

    Raises JudgeError where there is none, or the files are others.
    """
    try:
        card = read_json(folder / CARD, JudgeCard)
        held = judge_hash(folder, by_content=by_content)
    except (DataError, OSError) as error:
        raise JudgeError(f"{folder} holds no trained judge: {error}", hint=AGAIN) from None
    except GenarmError as error:
        raise JudgeError(f"{folder}: {error.message}", hint=AGAIN) from None
    if held != card.sha256:
        raise JudgeError(
            f"the files in {folder} have the hash {held[:12]}, {CARD} says {card.sha256[:12]}", hint=AGAIN
        )
    return card


def conversations_of(folder: Path) -> set[str]:
    """The ids of the conversations that a judge was trained on."""
    return set((folder / CONVERSATIONS).read_text(encoding="ascii").split())
