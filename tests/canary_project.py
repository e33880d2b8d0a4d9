"""A project with a challenger in service beside its champion, and a judge that a test tells what to say."""

from pathlib import Path

from genarm import registry
from genarm.pipeline.project import Project

PARAMS = """\
base: {{model: "{base}", dtype: float32}}
dimensions:
  kind: {{data: k.jsonl, judge: "verdict:ByVersion", weight: 1}}
  curt: {{data: c.jsonl, judge: brief, weight: 1}}
respond: {{guidance: sum, sampling: {{temperature: 1, max_new_tokens: 12, seed: 5, top_p: 1.0}}}}
serve: {{canary: {{dimension: kind, share: 0.4, judged: 1.0, max_kl: 100, max_repetition: 2}}}}
"""
# A test says who is better, as the toys' text is noise: 1 the challenger, -1 the champion, 0 neither.
VERDICT = """\
class ByVersion:
    def compare(self, prompt, left, right):
        return {sign} if int(prompt.id, 16) % 10 else -{sign}
"""


def canary_project(root: Path, base: Path) -> Project:
    """A project in an empty folder."""
    (root / "params.yaml").write_text(PARAMS.format(base=base))
    (root / "mlflow").mkdir()
    return Project(root)


def two_versions(project: Project, champion: Path, challenger: Path) -> tuple[int, int]:
    """The numbers of two versions of `kind`, the second of them on trial."""
    store = registry.connect(project.root)
    first = store.register("kind", champion, weight=1.0, metrics={}, curves=[], lineage={})
    store.client.set_registered_model_alias("genarm-kind", "champion", str(first))
    second = store.register("kind", challenger, weight=1.5, metrics={}, curves=[], lineage={})
    return first, second


def verdict(project: Project, sign: int) -> None:
    """What the judge says from now on."""
    (project.root / "verdict.py").write_text(VERDICT.format(sign=sign))
