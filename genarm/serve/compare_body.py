"""The bodies of comparisons: what two responses are asked for, and the vote on them."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from genarm.serve.body import ChatBody, ChatMessage, Weight
from genarm.serve.errors import invalid

CHAMPION = "champion"
# Without control characters, which PostgreSQL keeps in no text.
User = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
PositiveWeight = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False, strict=True)]


class CompareBody(BaseModel):
    """`POST /v1/comparisons`."""

    model_config = ConfigDict(extra="forbid")
    dimension: str = Field(max_length=40)
    user: User = Field(description="who will vote, by a name that the client chooses; votes are erased by it")
    consent: bool = Field(strict=True, description="whether texts and vote may be kept and used for training")
    messages: list[ChatMessage] | None = Field(None, min_length=1, max_length=2000)
    prompt: str | None = Field(None, min_length=1, description="in place of messages: the user's one message")
    weight: PositiveWeight | None = Field(None, description="of the dimension; by default the champion's")
    against: Literal["without", "base", "champion"] | Weight | None = Field(
        None,
        description="the other side: the champions without this dimension (the default), the base alone, "
        "or another weight; champion: the version on trial against the one in use",
    )
    temperature: float | None = Field(None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(None, gt=0, le=1, allow_inf_nan=False)
    top_k: int | None = Field(None, ge=0, le=2**31, strict=True)
    max_tokens: int | None = Field(None, ge=1, le=2**31, strict=True)

    @model_validator(mode="after")
    def _a_pair_can_be_made_of_it(self) -> "CompareBody":
        if (self.messages is None) == (self.prompt is None):
            raise ValueError("send either messages or prompt")
        if self.against == CHAMPION and self.weight is not None:
            raise ValueError("weight: a version on trial has a weight of its own, so leave it out")
        roles = ["system" if m.role == "developer" else m.role for m in self.messages or ()]
        turns = roles[1:] if roles[:1] == ["system"] else roles
        in_turn = all(role == ("user", "assistant")[i % 2] for i, role in enumerate(turns))
        if self.messages is not None and not (in_turn and len(turns) % 2):
            raise ValueError(
                "messages: user and assistant take turns, the user is last, and a system message first"
            )
        return self

    @property
    def conversation(self) -> list[ChatMessage]:
        """The messages, or the prompt as one."""
        return self.messages or [ChatMessage(role="user", content=self.prompt or "")]

    def check_served(self, served: Mapping[str, float]) -> None:
        """Raise ApiError for a dimension that is not served."""
        if self.dimension not in served:
            known = ", ".join(served) or "none, since nothing is promoted"
            raise invalid(f"{self.dimension[:80]!r} is not served; these are: {known}", "dimension")

    def sides(self, served: Mapping[str, float]) -> tuple[dict[str, float], dict[str, float]]:
        """The weights of the guided side and of the other, from those of the champions.

        Raises ApiError for a dimension that is not served, and where both sides would be the same.
        """
        self.check_served(served)
        others = {d: weight for d, weight in served.items() if d != self.dimension and weight}
        weight = served[self.dimension] if self.weight is None else self.weight
        guided, other = {**others, self.dimension: weight}, others
        if self.against == "base":
            other = {}
        elif isinstance(self.against, int | float):
            other = {**others, self.dimension: self.against}
        if {d: w for d, w in guided.items() if w} == {d: w for d, w in other.items() if w}:
            raise invalid(
                "both sides would have the same weights: give another weight, or against", "against"
            )
        return guided, other

    def chat(self, weights: Mapping[str, float] | None, seed: int) -> ChatBody:
        """What one side is asked; without weights it answers at those of its versions."""
        guided = weights is None or any(weights.values())
        return ChatBody(
            model="guided" if guided else "base",
            messages=self.conversation,
            guidance=dict(weights) if weights and guided else None,
            seed=seed,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            max_tokens=self.max_tokens,
        )


class VoteBody(BaseModel):
    """`POST /v1/comparisons/{id}`."""

    model_config = ConfigDict(extra="forbid")
    choice: Literal["a", "b", "tie"]
    user: User
    reason: str = Field("", max_length=2000, pattern=r"^[^\x00]*$")


USER = TypeAdapter[str](User)
