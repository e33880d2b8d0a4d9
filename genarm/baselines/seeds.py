"""Seeds of further tries at one request: the first is the request's own."""

import hashlib


def candidate_seed(seed: int, number: int) -> int:
    """The seed of a request's candidate: its own for number 0, then 64 bits of a hash of both.

    The first candidates of many are those of few.
    """
    if number == 0:
        return seed
    digest = hashlib.sha256(f"{seed}:candidate:{number}".encode()).digest()
    return int.from_bytes(digest[:8], "big")
