"""A method that an experiment measured as a version, with what the experiment found."""

from collections.abc import Mapping
from pathlib import Path

from genarm.registry import tags
from genarm.registry.registering import register
from genarm.registry.store import Store, translates_errors
from genarm.registry.versions import get, set_tag
from genarm.system.files import sha256


@translates_errors
def register_compared(
    store: Store,
    dimension: str,
    folder: Path,
    results: Path,
    *,
    experiment: str,
    row: str,
    method: str,
    metrics: Mapping[str, float],
    lineage: Mapping[str, str],
) -> int:
    """Put the method in a folder on trial; the version number, the same for the same bytes.

    `results` is the folder of the experiment's table, which becomes artifacts of the version's run. Where the
    version was there before, its tags name this experiment from now on. What a crash leaves undone, the next
    call does.
    """
    facts = {
        tags.EXPERIMENT: experiment,
        tags.ROW: row,
        tags.METHOD: method,
        tags.COMPARISON_SHA256: sha256(results / "results.json"),
    }
    given = {tags.label(tag).replace(" ", "_"): value for tag, value in facts.items()}
    number = register(
        store,
        dimension,
        folder,
        metrics=metrics,
        lineage={**lineage, **given},
        source=f"genarm compare {experiment} --register {row}",
    )
    with store.lock() as held:
        version = get(held, dimension, number)
        for tag, value in facts.items():
            if version.tags.get(tag) != value:
                set_tag(held, version, tag, value)
        if version.run_id:
            held.client.log_artifacts(version.run_id, str(results), f"experiments/{experiment}")
    return number
