"""The memory that judges take which are models of this machine: their weights, and one forward pass."""

from dataclasses import dataclass
from pathlib import Path

from genarm.config import JudgeConfig
from genarm.judges.reward.load import model_path
from genarm.pipeline.judge_fetch import folder_of
from genarm.pipeline.preflight.judges import judge_configs
from genarm.pipeline.preflight.models import shape_of
from genarm.pipeline.preflight.shape import ModelShape, read_shape
from genarm.pipeline.project import Project

BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}
VALUES = 22  # that a token, one layer and a unit of width hold while they are computed, as in training


@dataclass(frozen=True, slots=True)
class JudgeModel:
    """One model that judges: where it stands in params.yaml, its bytes, and what lowers them (`knob`).

    `tunes` says that it also chooses weights.
    """

    key: str
    name: str
    weights: int
    pass_bytes: int
    tunes: bool
    knob: str


def judge_models(project: Project) -> list[JudgeModel]:
    """Those whose files are here already, the largest last; judges are loaded one at a time."""
    found = list[JudgeModel]()
    for key, config in judge_configs(project.params).items():
        given, shape = config.reward_model or config.trained, _shape(project, config)
        if given is None or shape is None:
            continue
        width, dimension = BYTES[given.dtype], key.partition(".")[0]
        knob = f"lower {config.kind}.batch_tokens ({given.batch_tokens})"
        if width > BYTES["bfloat16"]:
            knob = f"set {config.kind}.dtype: bfloat16, or {knob}"
        found.append(
            JudgeModel(
                key=f"dimensions.{key}",
                name=config.name,
                weights=shape.parameters * width,
                pass_bytes=given.batch_tokens * shape.hidden * VALUES * width,
                tunes=project.params.dimensions[dimension].weight == "tuned",
                knob=knob,
            )
        )
    return sorted(found, key=lambda model: model.weights + model.pass_bytes)


def _shape(project: Project, config: JudgeConfig) -> ModelShape | None:
    if config.trained is not None:
        return read_shape(folder_of(project, config.trained))
    if config.reward_model is None:
        return None
    name = model_path(config.reward_model, project.root)
    return read_shape(Path(name)) if Path(name).is_dir() else shape_of(name, config.reward_model.revision)
