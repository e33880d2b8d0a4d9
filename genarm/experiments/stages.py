"""The units of an experiment as stages of DVC, in files of the experiment's folder that are made from it."""

import io
from collections.abc import Sequence
from typing import Any

from ruamel.yaml import YAML

from genarm.experiments.load import Experiment
from genarm.experiments.place import Place
from genarm.experiments.units import Unit, units
from genarm.system.files import write_text

HEADER = "# Made by `genarm compare {name}` from experiment.yaml; what is written here by hand is lost.\n"


def write_stages(experiment: Experiment) -> list[Unit]:
    """Write dvc.yaml and units.yaml where they are not so already; the units, in an order to run them."""
    place, made = experiment.place, units(experiment)
    _write_if_new(place, place.units, {unit.name: dict(unit.spec) for unit in made})
    _write_if_new(place, place.stages, {"stages": {unit.name: _stage(place, unit) for unit in made}})
    return made


def stage_name(place: Place, unit: str) -> str:
    """What DVC calls the stage of a unit."""
    return f"{place.relative(place.stages)}:{unit}"


def _stage(place: Place, unit: Unit) -> dict[str, Any]:
    outs: Sequence[Any] = [place.relative(path) for path in unit.writes]
    if not unit.cached:
        outs = [{path: {"cache": False}} for path in outs]
    return {
        "cmd": f"genarm compare {place.name} --unit {unit.name}",
        "wdir": "../..",
        "deps": [place.relative(path) for path in unit.reads],
        "params": [{place.relative(place.units): [unit.name]}],
        "outs": list(outs),
    }


def _write_if_new(place: Place, path: Any, value: dict[str, Any]) -> None:
    text = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.representer.ignore_aliases = lambda *_: True
    yaml.dump(value, text)
    content = HEADER.format(name=place.name) + text.getvalue()
    if not path.is_file() or path.read_text(encoding="utf-8") != content:
        write_text(path, content)
