"""A trained adapter whose change of the weights is scaled: theta_0 + s Delta, at the cost of the adapter.

At s = 1 it is the adapter, below 1 a mean with the base (WiSE-FT, arXiv 2109.01903), above 1 extrapolated
(ExPO, arXiv 2404.16792). So a model that was trained once has a strength to tune, as guidance has its weight.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genarm.errors import AdapterError, ConfigError
from genarm.models.arm import CARD, CONFIG, WEIGHTS, is_full, read_card, write_card
from genarm.system.files import write_json
from genarm.types import ArmCard


def write_scaled(folder: Path, scale: float, out: Path) -> ArmCard:
    """Write the adapter of a folder to `out`, with its update times `scale`, and its card.

    Raises ConfigError for a scale that is not above 0, AdapterError for a full model or an altered folder.
    """
    if not scale > 0:
        raise ConfigError(f"the scale of an adapter is {scale}", hint="above 0; 1 is the adapter itself")
    if is_full(folder):
        raise AdapterError(
            f"{folder.parent.name} is a full model, and only the update of an adapter is scaled",
            hint="leave scale at 1, or train it with method: lora",
        )
    card = read_card(folder)
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(folder / WEIGHTS, out / WEIGHTS)
    shutil.copyfile(folder / CARD, out / CARD)
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    config["lora_alpha"] *= scale
    patterns = config.get("alpha_pattern") or {}
    config["alpha_pattern"] = {module: alpha * scale for module, alpha in patterns.items()}
    write_json(out / CONFIG, config)
    return write_card(out, card)


@contextmanager
def scaled(folder: Path, scale: float) -> Iterator[Path]:
    """The folder of an adapter at a scale, for as long as it is read; at 1 the folder itself."""
    if scale == 1:
        yield folder
        return
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / folder.name
        write_scaled(folder, scale, out)
        yield out
