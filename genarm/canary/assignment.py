"""Who is answered by the challenger, and which prompts both answer: by hashes, so that nobody keeps a list.

A hash of 64 bits is taken for a number that is evenly spread over [0, 1). It depends on the trial, so another
challenger meets other people. Over people, or prompts, the share is exact in expectation.
"""

import hashlib


def fraction(*parts: str) -> float:
    """A number in [0, 1) that these texts, in this order, always give."""
    text = "\0".join(f"{len(part)}:{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def challenger_answers(trial: str, who: str, share: float) -> bool:
    """Whether `who` is answered by the challenger of a trial, given by its key."""
    return fraction("side", trial, who) < share


def is_judged(trial: str, prompt_id: str, share: float) -> bool:
    """Whether both sides of a trial answer this prompt."""
    return fraction("judged", trial, prompt_id) < share
