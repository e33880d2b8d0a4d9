"""Events of Prefect, for automations to act on. A run does not fail because one could not be sent."""

from prefect import get_run_logger
from prefect.events import emit_event
from prefect.exceptions import EventTooLarge

from genarm.watch.events import Event

from .run_console import told


def tell(event: Event | None) -> None:
    """Hand an event to Prefect, which sends it beside the run; nothing for None."""
    if event is None:
        return
    try:
        emit_event(**event)
    except (EventTooLarge, ValueError) as error:
        get_run_logger().warning("%s was not told: %s", event["event"], type(error).__name__, **told())
