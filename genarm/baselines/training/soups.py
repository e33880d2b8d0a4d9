"""Rewarded Soups (arXiv 2306.04488): the mean of the weights of policies trained on the same base.

    theta = theta_0 + sum_i lambda_i Delta_i,  Delta_i = (alpha_i / r_i) B_i A_i

PEFT's `cat` writes this sum as one LoRA whose rank is the sum of the ranks, and exactly: A stacks the
lambda_i (alpha_i / r_i) A_i, B the B_i. The mean of the A and the mean of the B, which is what the authors'
code and GenARM's take, is another thing, since B A is a product: it holds B_1 A_2, and of B_1 A_1 only
lambda_1 squared. PEFT's `linear` scales both by the root of lambda, and mixes them as well.
"""

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genarm.baselines.training.mean import check_mean
from genarm.baselines.training.policy import POLICY, replacing
from genarm.errors import AdapterError
from genarm.models import ModelSource, load_model
from genarm.models.arm import CONFIG, WEIGHTS, check_fits, is_full, read_card, write_card
from genarm.models.arm_card import card_of
from genarm.system.files import write_json
from genarm.training.lora import check_tensors
from genarm.training.transformers_hooks import peft_warnings_ignored
from genarm.types import ArmCard, Provenance

if TYPE_CHECKING:
    from peft import PeftModel

SOUP = "soup"


def make_soup(
    base: ModelSource,
    adapters: Mapping[str, Path],
    weights: Mapping[str, float],
    *,
    name: str,
    dtype: str,
    out: Path,
    provenance: Provenance = POLICY,
) -> ArmCard:
    """Write the mean of the adapters in these folders, by `weights` that sum to 1, as a plain PEFT folder.

    Adapters may have other ranks and other layers. Raises ConfigError for weights that are no mean, and
    AdapterError or TokenizerMismatch naming an adapter that was altered, is a full model or is of another
    base.
    """
    check_mean(weights, adapters)
    cards = {of: _card(of, folder, base) for of, folder in adapters.items()}
    with peft_warnings_ignored():
        adapted = _with_all(base, adapters, dtype)
        _add_mean(adapted, list(adapters), [weights[of] for of in adapters])
        with replacing(out) as folder:
            _save(adapted, folder, base)
            eaten = "".join(cards[of].adapter_sha256 for of in sorted(cards))
            return write_card(
                folder,
                card_of(
                    name,
                    base,
                    provenance,
                    beta=cards[next(iter(cards))].beta,
                    pairs_sha256=hashlib.sha256(eaten.encode()).hexdigest(),
                    params={
                        "method": "soup",
                        "weights": dict(weights),
                        "adapters": {of: card.adapter_sha256 for of, card in cards.items()},
                    },
                    dtype=dtype,
                ),
            )


def _card(name: str, folder: Path, base: ModelSource) -> ArmCard:
    if is_full(folder):
        raise AdapterError(
            f"{name!r} at {folder} is a full model, and a soup is made of adapters",
            hint="train it with method: lora",
        )
    card = replace(read_card(folder), dimension=name)
    check_fits(card, base, shares_weights=True)
    return card


def _with_all(base: ModelSource, adapters: Mapping[str, Path], dtype: str) -> "PeftModel":
    """The base with each adapter under its name, whole: peft starts anew what a file lacks."""
    import peft
    from safetensors import safe_open

    model: Any = load_model(base, dtype)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Found missing adapter keys")  # they are refused below
        for name, folder in adapters.items():
            if isinstance(model, peft.PeftModel):
                model.load_adapter(str(folder), adapter_name=name)
            else:
                model = peft.PeftModel.from_pretrained(model, str(folder), adapter_name=name)
    for name, folder in adapters.items():
        wanted = peft.get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            check_tensors(folder, file.keys(), wanted)
    return model  # type: ignore[no-any-return]


def _add_mean(adapted: Any, names: Sequence[str], weights: Sequence[float]) -> None:
    """Add the adapter SOUP, in each module that one of the others adapts, and in no other.

    peft makes it in the layers and with the scale (`use_rslora`) of the first, takes all targets in all of
    these layers, and loses what others have elsewhere without a word: so each is told the modules by name.
    """
    adapts = {name: _adapted_modules(adapted, name) for name in names}
    everywhere = set().union(*adapts.values())
    kept = {name: adapted.peft_config[name] for name in names}
    for name, config in kept.items():
        adapted.peft_config[name] = replace(
            config,
            target_modules=everywhere,
            layers_to_transform=None,
            layers_pattern=None,
            exclude_modules=None,
            use_rslora=False,
        )
    adapted.add_weighted_adapter(list(names), list(weights), SOUP, combination_type="cat")
    made = _adapted_modules(adapted, SOUP)
    if made != everywhere:
        raise AdapterError(
            f"peft adapts {len(made)} modules where the soup has {len(everywhere)}",
            hint="train the adapters with the same lora.layers and lora.targets",
        )
    for name, config in kept.items():
        adapted.peft_config[name] = config
        if adapts[name] == everywhere:  # then it says in few words where the soup lies, too
            soup = adapted.peft_config[SOUP]
            soup.target_modules, soup.exclude_modules = config.target_modules, config.exclude_modules
            soup.layers_to_transform = config.layers_to_transform
            soup.layers_pattern = config.layers_pattern


def _adapted_modules(adapted: Any, name: str) -> set[str]:
    """The paths in the base of the modules that an adapter changes."""
    return {
        path.removeprefix("base_model.model.")
        for path, module in adapted.named_modules()
        if name in getattr(module, "lora_A", ())
    }


def _save(adapted: Any, folder: Path, base: ModelSource) -> None:
    """The adapter SOUP as a plain PEFT folder that names the base as its users do."""
    import peft
    from safetensors.torch import save_file

    tensors = peft.get_peft_model_state_dict(adapted, adapter_name=SOUP, save_embedding_layers=False)
    save_file(
        {key: t.contiguous() for key, t in tensors.items()}, folder / WEIGHTS, metadata={"format": "pt"}
    )
    adapted.peft_config[SOUP].save_pretrained(str(folder))
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    config |= {"base_model_name_or_path": base.id, "revision": base.revision, "inference_mode": True}
    config["target_modules"] = sorted(config["target_modules"])  # which peft keeps in a set
    write_json(folder / CONFIG, config)
