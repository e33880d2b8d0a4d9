"""What `GET /v1/arms` tells: the versions in service, and what a request gets that does not say it."""

from typing import Any

from genarm.serve.service import Service


def described_arms(service: Service) -> dict[str, Any]:
    """The base, each dimension's version and weight, and which champion was refused and why."""
    lineup, refused, settings = service.lineup, service.refused, service.settings
    data: list[dict[str, Any]] = [
        {
            "dimension": dimension,
            "version": arm.champion.version,
            "weight": arm.champion.weight,
            "guidance": arm.champion.guidance,
            "pinned": arm.pinned,
            "refused": refused.get(dimension),
        }
        for dimension, arm in lineup.arms.items()
    ]
    lost = {d: reason for d, reason in refused.items() if d not in lineup.arms}
    data += [{"dimension": d, "version": None, "refused": reason} for d, reason in lost.items()]
    return {
        "object": "list",
        "base": lineup.base_id,
        "data": data,
        "defaults": {"temperature": settings.temperature, "max_tokens": settings.max_tokens},
        "context": lineup.decoder.context,
    }
