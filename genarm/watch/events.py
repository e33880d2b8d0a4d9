"""What is told to others as events of Prefect: their names, what they are about, and what they say.

Automations act on them; `automations.yaml` calls a webhook with the text.
"""

import os
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from genarm.errors import GenarmError
from genarm.system.redact import redact
from genarm.types import Decision
from genarm.watch.prefect_api import Api

PROMOTED, HELD, REJECTED = "genarm.promoted", "genarm.held", "genarm.rejected"
ROLLED_BACK = "genarm.rolled-back"
CHAMPION_WORSE = "genarm.champion-worse"
DATA_HELD, NOT_PUBLISHED = "genarm.data-held", "genarm.not-published"
BRIEFLY = 1.0  # seconds that a command waits for a server at its end
Event = dict[str, Any]  # `event`, `resource` and `payload`, as Prefect takes them


def decided(root: Path, decision: Decision, carried_out: bool) -> Event | None:
    """A decision of a run; None for one that changes nothing, or was to be carried out and was not."""
    names = {"promote": (PROMOTED, "promoted"), "hold": (HELD, "held"), "reject": (REJECTED, "rejected")}
    if decision.outcome not in names or (decision.outcome == "promote" and not carried_out):
        return None
    (name, word), against = names[decision.outcome], decision.champion
    text = f"{decision.dimension} {word}: {'; '.join(decision.reasons)}"
    told = {
        "outcome": decision.outcome,
        "reasons": [redact(reason) for reason in decision.reasons],
        "adapter": decision.challenger_sha256,
        "against": against.version if against else 0,
    }
    return _event(name, root, text, decision.dimension, told)


def promoted_by_hand(root: Path, dimension: str, done: str) -> Event:
    """A promotion that a person asked for; `done` says what was done."""
    return _event(PROMOTED, root, done, dimension, {"outcome": "promote"})


def rolled_back(root: Path, dimension: str, reason: str, done: str) -> Event:
    """A rollback; `done` says what was done."""
    return _event(ROLLED_BACK, root, f"{done}, because: {reason}", dimension, {"reason": redact(reason)})


def champion_worse(root: Path, dimension: str, version: int, line: str) -> Event:
    """A champion that was shown to win too seldom over the base; `line` says how often."""
    return _event(CHAMPION_WORSE, root, line, dimension, {"version": version})


def data_held(root: Path, reasons: Sequence[str]) -> Event:
    """New data that waits for a person."""
    text = f"new data waits for a person (genarm data approve, or reject): {'; '.join(reasons)}"
    return _event(DATA_HELD, root, text, "", {"reasons": [redact(reason) for reason in reasons]})


def not_published(root: Path, left: Sequence[str]) -> Event:
    """Results that could not be published."""
    text = f"results are not published: {'; '.join(left)}"
    return _event(NOT_PUBLISHED, root, text, "", {"left": [redact(line) for line in left]})


def send(event: Event) -> str:
    """Send an event from a command, over HTTP, if PREFECT_API_URL names a server.

    It never fails, and takes no longer than a moment; returns why the server did not take it.
    """
    address = os.environ.get("PREFECT_API_URL")
    if not address:
        return ""
    when = {"occurred": datetime.now(UTC).isoformat(), "id": str(uuid.uuid4())}
    try:
        Api(address).ask("/events", [event | when], BRIEFLY)
    except (GenarmError, OSError) as error:
        return redact(str(error))
    return ""


def _event(name: str, root: Path, text: str, dimension: str, told: Event) -> Event:
    """`text` is one line that says it all; the name of the project's folder stands before it."""
    folder = root.resolve()
    resource = {
        "prefect.resource.id": f"genarm.dimension.{dimension}" if dimension else "genarm.project",
        "prefect.resource.name": dimension or folder.name,
        "genarm.folder": str(folder),
    }
    payload = {"text": redact(f"{folder.name}: {text}"), "folder": str(folder), **told}
    return {"event": name, "resource": resource, "payload": payload}
