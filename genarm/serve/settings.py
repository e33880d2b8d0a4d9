"""What the operator of a server sets: sizes, numbers and seconds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """The limits of a server, and what a request gets that does not say it."""

    max_tokens: int = 128
    """The most new tokens of a request that names no number; fewer where the context has less room."""
    temperature: float = 1.0
    """The temperature of a request that names none."""
    top_p: float = 1.0
    """Likewise top-p."""
    top_k: int = 0
    """Likewise top-k."""
    stop: tuple[str, ...] = ()
    """Likewise the strings that end a response."""
    trial: bool = False
    """Whether the version on trial on each dimension is served, too."""
    max_body: int = 1 << 20
    """The most bytes of a request's body."""
    max_choices: int = 16
    """The most responses of one request: `n` times its prompts."""
    max_open: int = 256
    """The most responses that are decoded or wait at a time, over all requests."""
    body_seconds: float = 10.0
    """The time in which a body has to arrive."""
    answer_seconds: float = 300.0
    """The time that a request may take, waiting included."""
    stop_seconds: float = 30.0
    """How long a server that is stopped lets open requests go on."""
