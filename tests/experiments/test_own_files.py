"""What an experiment names lies in its project, and what it writes names no folder of this machine."""

import pytest
import toy_experiment as toy

from genarm.errors import ConfigError
from genarm.experiments.stages import write_stages

ELSEWHERE = {
    "prompts.file": {"prompts": {"file": "/etc/passwd"}},
    "data.vowels.folder": {"data": {"vowels": {"files": "a.jsonl", "folder": "../other"}}},
    "data.vowels.files": {"data": {"vowels": {"files": "../../a.jsonl"}}},
    "models.there.path": {"models": {"there": {"trainer": "folder", "path": "~/model"}}},
}


@pytest.mark.parametrize("key", ELSEWHERE)
def test_a_file_outside_of_the_project_is_refused(loaded, key):
    values = toy.toy_experiment()
    values["models"] |= ELSEWHERE[key].get("models", {})
    with pytest.raises(ConfigError, match=rf"experiment.yaml: {key}: .* lies outside of the project"):
        loaded(values | {k: v for k, v in ELSEWHERE[key].items() if k != "models"})


def test_a_link_in_the_project_may_lead_elsewhere(loaded, toy_project, tmp_path):
    (toy_project / "linked").symlink_to(tmp_path)
    values = toy.toy_experiment()
    values["models"]["there"] = {"trainer": "folder", "path": "linked/model"}
    loaded(values)


def test_stages_name_no_folder_of_this_machine(loaded):
    values = toy.wide_experiment()
    experiment = loaded(values, "portable")
    values["base"] = {"model": str(experiment.base.path), "dtype": "float32"}
    experiment = loaded(values, "portable")
    write_stages(experiment)
    written = experiment.place.units.read_text() + experiment.place.stages.read_text()
    assert str(experiment.base.path.parent) not in written
    assert str(experiment.place.root) not in written
