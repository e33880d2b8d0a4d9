"""Every decision is on record once, with its report."""

import dataclasses
from pathlib import Path

from registry_toys import MakeArm, decision, register

from genarm.registry import Registry


def test_decisions_are_logged_once_whatever_they_say(
    store: Registry, make_arm: MakeArm, tmp_path: Path
) -> None:
    register(store, make_arm(0))
    report = tmp_path / "report"
    report.mkdir()
    (report / "report.html").write_text("<html>")
    held = decision(store, make_arm(0), "hold")
    runs = [
        store.record_decision(d, report_sha256="r" * 64, report=report, lineage={"flow run": "f-1"})
        for d in (held, held, dataclasses.replace(held, outcome="reject"))
    ]
    assert runs[0] == runs[1] != runs[2]
    tags = store.client.get_run(runs[0]).data.tags
    assert (tags["genarm.outcome"], tags["genarm.challenger_version"], tags["genarm.flow_run"]) == (
        "hold",
        "1",
        "f-1",
    )
    kept = [file.path for file in store.client.list_artifacts(runs[0], "report")]
    assert kept == ["report/report.html"], "the next run writes another report over the one in artifacts/"
