"""Which remote DVC would push to, read from its settings without starting it."""

from pathlib import Path


def default_remote(root: Path) -> str | None:
    """The name of DVC's default remote; None where there is none or its settings cannot be read."""
    from dvc.config import Config, ConfigError  # DVC reads its settings as it is imported

    try:
        return Config(str(root / ".dvc"))["core"].get("remote") or None
    except ConfigError:
        return None
