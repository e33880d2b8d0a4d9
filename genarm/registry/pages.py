"""What a reader of the MLflow pages sees: the Markdown of a registered model, a version and a decision."""

from collections.abc import Mapping

from genarm.types import ArmCard, Decision


def model_page(dimension: str) -> str:
    """The page of `genarm-<dimension>`: what it holds and how to use it."""
    name = f"genarm-{dimension}"
    return f"""### Autoregressive reward models for **{dimension}**

Each version is a LoRA adapter whose token log-probabilities are rewards. It guides its frozen base model:
`log p_base + weight * log p_arm`, token by token.

| alias | meaning |
|---|---|
| `champion` | the version in use |
| `previous` | the champion before it: where a rollback goes |
| `challenger` | the version on trial |

```python
import mlflow, peft
model = mlflow.pyfunc.load_model("models:/{name}@champion")        # base and adapter together
model.predict([{{"prompt": "Tell me about rain."}}])
folder = mlflow.artifacts.download_artifacts("models:/{name}@champion/artifacts/arm")
peft.PeftModel.from_pretrained(base, folder)                        # the adapter alone
```
"""


def version_page(card: ArmCard, metrics: Mapping[str, float], lineage: Mapping[str, str]) -> str:
    """The page of one version: what it is, how well it learned, where it comes from."""
    facts = {
        "base model": f"`{card.base_id}`" + (f" at `{card.base_revision}`" if card.base_revision else ""),
        "beta (training)": f"{card.beta:g}",
        "weight (decoding)": f"{card.weight:g}",
        "adapter sha256": f"`{card.adapter_sha256[:16]}`",
    }
    parts = [
        f"### ARM for **{card.dimension}**",
        _table(("", ""), facts),
        "#### How well it learned",
        _table(("metric", "value"), {name: f"{value:.4g}" for name, value in sorted(metrics.items())}),
        "#### Where it comes from",
        _table(("", ""), {key.replace("_", " "): f"`{value}`" for key, value in lineage.items() if value}),
    ]
    return "\n\n".join(parts) + "\n"


def decision_page(decision: Decision) -> str:
    """The page of one decision."""
    champion = decision.champion
    rival = f"version {champion.version}, the champion" if champion else "the base model: no champion yet"
    reasons = "\n".join(f"- {reason}" for reason in decision.reasons)
    return (
        f"### {decision.dimension}: **{decision.outcome}**\n\n{reasons}\n\n"
        f"Challenger `{decision.challenger_sha256[:16]}` against {rival}.\n"
    )


def _table(head: tuple[str, str], rows: Mapping[str, str]) -> str:
    cells = (f"| {key} | {value.replace('|', '/')} |" for key, value in rows.items())
    return "\n".join([f"| {head[0]} | {head[1]} |", "|---|---|", *cells])
