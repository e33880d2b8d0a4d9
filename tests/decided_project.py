"""A project whose stages have all run under the real DVC: all but `decide` copy what lies in `made/`."""

import json
import os
import subprocess
import sys
from pathlib import Path

from dvc_project import dvc, git
from toy_params import dimension
from verdict_rows import response

from genarm.data.dvc import set_data
from genarm.pipeline.project import Project
from genarm.system.files import write_json, write_rows, write_text
from genarm.types import Message, Prompt, Tuned, Verdict

PARAMS = {
    "base": {"model": "nowhere"},
    "dimensions": {"kind": dimension("a.jsonl")},
    "respond": {"prompts": 60},
}
# Stage: what it reads and what it writes; the columns of dvc.yaml that matter here.
STAGES = {
    "pairs": (["data"], ["artifacts/pairs/kind"]),
    "prompts": (["artifacts/pairs"], ["artifacts/prompts.jsonl"]),
    "train": (["artifacts/pairs/kind"], ["artifacts/arms/kind", "artifacts/train/kind"]),
    "tune": (["artifacts/arms/kind"], ["artifacts/tune/kind/tuned.json"]),
    "respond-base": (["artifacts/prompts.jsonl"], ["artifacts/responses/base.jsonl"]),
    "respond": (
        ["artifacts/prompts.jsonl", "artifacts/arms/kind"],
        ["artifacts/responses/challenger/kind.jsonl"],
    ),
    "respond-champion": (["artifacts/prompts.jsonl"], ["artifacts/responses/champion/kind.jsonl"]),
    "judge": (["artifacts/responses"], ["artifacts/verdicts/kind.jsonl"]),
    "decide": (
        ["artifacts/verdicts", "artifacts/responses", "artifacts/arms"],
        ["artifacts/scorecards.json", "artifacts/decisions.json", "artifacts/metrics.json"],
    ),
    "report": (["artifacts/decisions.json"], ["artifacts/report"]),
}
ONCE = ("prompts", "respond-base", "decide", "report")


def make(root: Path) -> Project:
    """Make the project and run every stage once."""
    git(root, "init", "--quiet")
    dvc(root, "init", "--quiet")
    (root / ".gitignore").write_text("/artifacts/\n/data\n")
    write_json(root / "params.yaml", PARAMS)
    for name in ("champions", "incumbents"):
        write_json(root / "mlflow" / f"{name}.json", {"kind": None})
    (root / "seed").mkdir()
    (root / "seed" / "a.jsonl").write_text('{"seed": 1}\n')
    git(root, "add", "--all")
    set_data(root, str(root / "seed"))
    made, prompts = Project(root / "made").layout, [Prompt((Message("user", f"say {i}"),)) for i in range(60)]
    write_rows(made.prompts, prompts)
    write_rows(made.pairs("kind", "train"), [{"prompt": "a"}])
    write_json(made.arm("kind") / "adapter_config.json", {"r": 1})
    (made.arm("kind") / "adapter_model.safetensors").write_bytes(bytes(1000))
    write_json(made.train_metrics("kind"), {"loss": 1.0})
    write_json(made.tuned("kind"), Tuned(1.0, "sum", "params.yaml", "said there"))
    for path in (made.responses("base"), made.responses("challenger", "kind")):
        write_rows(path, [response(prompt.id, text=path.stem) for prompt in prompts])
    write_rows(made.responses("champion", "kind"), [])
    write_rows(
        made.verdicts("kind"), [Verdict(prompt.id, "kind", "challenger", "base", 1.0) for prompt in prompts]
    )
    write_json(made.report / "report.json", {})
    write_text(root / "dvc.yaml", json.dumps({"stages": {name: _stage(name) for name in STAGES}}))
    repro(root)
    git(root, "add", "--all")
    git(root, "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--quiet", "-m", "all")
    return Project(root)


def _stage(name: str) -> dict[str, object]:
    deps, outs = STAGES[name]
    copies = [f"mkdir -p {Path(out).parent} && cp -r made/{out} {out}" for out in outs]
    stage: dict[str, object] = {
        "cmd": f"{Path(sys.executable).parent}/genarm decide" if name == "decide" else " && ".join(copies),
        "deps": deps,
        "outs": outs,
    }
    if name == "respond-champion":
        stage["params"] = [{"mlflow/incumbents.json": ["kind"]}]
    return stage if name in ONCE else stage | {"matrix": {"dim": ["kind"]}}


def repro(root: Path, *arguments: str) -> str:
    """Plain `dvc repro`; returns what it prints, and does not mind if it fails."""
    return shell(root, f"{sys.executable} -m dvc repro " + " ".join(arguments))


def shell(root: Path, command: str) -> str:
    """Run a command as a person types it, with the `dvc` and `genarm` of this interpreter."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        shell=True,
        cwd=root,
        env=os.environ | {"PATH": path, "DVC_NO_ANALYTICS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.stdout


def flip(path: Path) -> None:
    """Change one bit as a failing disk does: size, times and permissions stay, and so a link stays a link."""
    path = path.resolve()
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.write(content)
    path.chmod(before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
