"""What a reader of the MLflow pages sees: the Markdown of a registered model, a version and a decision."""

from collections.abc import Mapping

from genarm.types import ArmCard, Decision


def model_page(dimension: str) -> str:
    """The page of `genarm-<dimension>`: what it holds and how to use it."""
    name = f"genarm-{dimension}"
    return f"""### Autoregressive reward models for **{dimension}**

Each version is a LoRA adapter, or a model of its own, whose token log-probabilities are rewards. It guides a
frozen base model:
`log p_base + weight * log p_arm`, token by token.

- `champion`: the version in use
- `previous`: the champion before it, where a rollback goes
- `challenger`: the version on trial

```python
import mlflow, peft

# base model and adapter together
model = mlflow.pyfunc.load_model("models:/{name}@champion")
model.predict([{{"prompt": "Tell me about rain."}}])

# the adapter alone, where it is one
folder = mlflow.artifacts.download_artifacts("models:/{name}@champion/artifacts/arm")
peft.PeftModel.from_pretrained(base, folder)
```
"""


def version_page(card: ArmCard, metrics: Mapping[str, float], lineage: Mapping[str, str]) -> str:
    """The page of one version: what it is, how well it learned, where it comes from."""
    at = f" at `{card.model_revision}`" if card.model_revision else ""
    guides = f", guiding `{card.guides_id}`" if card.guides_another_model else ""
    return "\n\n".join(
        [
            f"ARM for **{card.dimension}** on `{card.model_id}`{at}{guides}, "
            f"to be used at weight {card.weight:g}",
            "### How well it learned",
            _bullets({name: f"{value:.4g}" for name, value in sorted(metrics.items())}),
            "### Where it comes from",
            _bullets({key.replace("_", " "): f"`{value}`" for key, value in lineage.items() if value}),
        ]
    )


def decision_page(decision: Decision) -> str:
    """The page of one decision."""
    champion = decision.champion
    rival = f"version {champion.version}, the champion" if champion else "the base model: no champion yet"
    reasons = "\n".join(f"- {reason}" for reason in decision.reasons)
    return (
        f"### {decision.dimension}: **{decision.outcome}**\n\n{reasons}\n\n"
        f"Challenger `{decision.challenger_sha256[:16]}` against {rival}.\n"
    )


def _bullets(facts: Mapping[str, str]) -> str:
    # Lists, since MLflow sets tables without any space between their cells.
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())
