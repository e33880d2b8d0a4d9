"""What a killed unit has answered is kept for its next run, and for that alone."""

import pytest
import toy_experiment as toy

from genarm.experiments import answer as answering
from genarm.experiments.stages import write_stages
from genarm.experiments.work import run_unit
from genarm.pipeline import kept
from genarm.pipeline.project import Project


def test_a_killed_unit_goes_on_after_a_run_of_the_pipeline_and_leaves_nothing(
    loaded, monkeypatch, toy_project
):
    values = toy.toy_experiment()
    values["sampling"]["batch_size"] = 1  # so four prompts are answered, and kept, together
    experiment = loaded(values, "kept")
    project = Project(toy_project)
    write_stages(experiment)
    for unit in ("pairs-vowels", "prompts"):
        run_unit(project, "kept", unit)
    real, asked = answering.responses, []

    def killed(experiment, method, prompts, title="base"):
        if len(asked) == 1:
            raise KeyboardInterrupt
        asked.append(len(prompts))
        return real(experiment, method, prompts, title)

    monkeypatch.setattr(answering, "responses", killed)
    with pytest.raises(KeyboardInterrupt):
        run_unit(project, "kept", "answer-base-0")
    assert experiment.place.kept("base", 0).is_dir()
    kept.forget(project)  # as `genarm run` does once it has decided

    def counted(experiment, method, prompts, title="base"):
        asked.append(len(prompts))
        return real(experiment, method, prompts, title)

    monkeypatch.setattr(answering, "responses", counted)
    run_unit(project, "kept", "answer-base-0")
    assert asked == [4, 4, 4]  # none of them twice
    assert not experiment.place.kept("base", 0).exists()
