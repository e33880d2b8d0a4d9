"""What preference data is made of: conversations, prompts, and pairs of responses to one."""

import hashlib
import json
from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]
Split = Literal["train", "validation", "evaluation", "judge"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a response answers: messages that end with a turn of the user."""

    messages: tuple[Message, ...]

    @property
    def id(self) -> str:
        """First 16 hex digits of the sha256 of the messages; the same prompt has the same id in any file."""
        text = json.dumps([[m.role, m.content] for m in self.messages], ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Two responses to one prompt, of which `chosen` was preferred on some dimension."""

    prompt: Prompt
    chosen: str
    rejected: str
