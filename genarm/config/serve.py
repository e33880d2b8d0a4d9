"""What a server does beyond answering: the trial of a challenger beside the champion."""

from pydantic import Field

from genarm.config.numbers import Section

TRAFFIC = {"share", "judged", "compared"}  # what may change while a trial goes on; the rest is its rule


class CanaryConfig(Section):
    """A challenger that answers a share of the traffic, until a test promotes or stops it."""

    dimension: str = Field(description="whose challenger is tried: the version with that alias")
    share: float = Field(0.1, gt=0, lt=1, description="share of the people, or of the requests, it answers")
    judged: float = Field(
        0.25, ge=0, le=1, description="share of the prompts that the other side answers too, for the judge"
    )
    compared: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the comparisons on the dimension that people are shown which are between both "
        "sides; their votes count as outcomes. It needs feedback.store",
    )
    max_votes: int = Field(20, ge=1, description="votes of one person that count in a trial: the first ones")
    alpha: float = Field(0.01, gt=0, lt=0.5, description="chance of promoting one that is no better")
    min_gain: float = Field(0.0, ge=0, lt=0.5, description="win rate above 1/2 that must be shown to promote")
    alpha_harm: float = Field(0.05, gt=0, lt=0.5, description="chance of stopping one that does no harm")
    margin: float = Field(
        0.0, ge=0, lt=0.5, description="win rate below 1/2 that is tolerated; less is harm, and stops it"
    )
    max_outcomes: int = Field(2000, ge=1, description="stop undecided after so many outcomes")
    max_errors: float = Field(
        0.02, gt=0, lt=1, description="share of its responses that may fail; shown to be more, it stops"
    )
    max_unhealthy: float = Field(
        0.1, gt=0, lt=1, description="share of its responses that may exceed a limit below; likewise"
    )
    max_kl: float = Field(1.0, gt=0, description="KL(guided || base) of a response, in nats a token")
    max_repetition: float = Field(0.5, gt=0, description="share of 4-grams that a response repeats")
    max_seconds: float | None = Field(None, gt=0, description="seconds of a response; null: no limit")
    alpha_health: float = Field(
        0.001, gt=0, lt=0.5, description="chance of each of these two stops where the share is kept"
    )


class ServeConfig(Section):
    """What `genarm serve` does beside answering."""

    canary: CanaryConfig | None = Field(
        None, description="a challenger beside the champion of a dimension; null: none"
    )
