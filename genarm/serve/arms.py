"""What `GET /v1/arms` tells: the versions in service, and what a request gets that does not say it."""

from collections.abc import Mapping
from typing import Any

from genarm.serve.lineup import Lineup

Refused = Mapping[str, Mapping[str, object]]


def described_arms(
    lineup: Lineup, refused: Refused, *, trial: bool, context: int, defaults: Mapping[str, float | None]
) -> dict[str, Any]:
    """The base by content, each version with its weight and hash, and which was refused and why.

    `defaults` is what a request gets that does not say it, `context` the most tokens of prompt and response.
    """
    data: list[dict[str, Any]] = [
        {
            "dimension": arm.dimension,
            "version": arm.champion.version,
            "adapter_sha256": arm.champion.adapter_sha256,
            "weight": arm.champion.weight,
            "guidance": arm.champion.guidance,
            "pinned": arm.pinned,
            "trial": arm.trial,
            "model": arm.model,
            "refused": refused.get(name),
        }
        for name, arm in lineup.arms.items()
    ]
    lost = {name: reason for name, reason in refused.items() if name not in lineup.arms}
    data += [
        {"dimension": name.partition("@")[0], "version": None, "refused": reason}
        for name, reason in lost.items()
    ]
    return {
        "object": "list",
        "base": lineup.base_id,
        "identity": dict(lineup.identity),
        "trial": trial,
        "data": data,
        "defaults": dict(defaults),
        "context": context,
    }
