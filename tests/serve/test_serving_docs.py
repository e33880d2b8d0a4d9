"""The Python of docs/serving.md runs from top to bottom against a real server of toys."""

import re
import threading
from pathlib import Path

from served_toys import running, wait

from genarm.serve.service import Service

PAGE = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
SHOWN_AND_HERE = (
    ("positive@1", "kind@3"), ("positive", "kind"), ("plain", "curt"), ("range(24)", "range(8)"),
)  # fmt: skip


def test_the_script_of_the_page_runs_through_a_swap(opened, capsys):
    """What it prints has the form of what the page shows, and each answer is of one version."""
    script = "\n".join(re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
    for shown, here in SHOWN_AND_HERE:
        assert shown in script
        script = script.replace(shown, here)
    service, newer, names = Service(opened()), opened("newer", 4), {}
    with running(service) as address:
        assert "http://127.0.0.1:8000" in script
        code = compile(script.replace("http://127.0.0.1:8000", address), "serving.md", "exec")
        run = threading.Thread(target=exec, args=(code, names))
        run.start()
        wait(lambda: len(names.get("rows", ())) > 3 or not run.is_alive())
        service.swap(newer)
        run.join()
        for name in ("client", "api"):
            names[name].close()
    rows = names.get("rows", ())
    assert len([row for row in rows if row[2] in ("base", "guided")]) == 2 * 8
    for _, _, model, status, before, by, after in rows:
        assert status == 200 or (status == 404 and model == "guided:kind@3" and after == 4)
        named = re.findall(r"kind=(\d)", by)
        assert named == [] if model == "base" or status == 404 else int(named[0]) in (before, after)
    assert {row[-1] for row in rows} == {3, 4}
    said = capsys.readouterr().out
    assert said.startswith("['base', 'guided', 'guided:kind@3', 'guided:curt@1']\n")
    assert "404 model_not_found the model 'guided:kind@9' is not served" in said
    assert "400 guidance guidance names 'positiv', which does not guide 'guided'" in said
    assert said.count("\n| ") == len(rows) and re.search(r"^\d+ \+ \d+ tokens$", said, re.MULTILINE)
