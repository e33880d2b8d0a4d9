"""The units of an experiment as stages of DVC, in files of the experiment's folder that are made from it."""

import io
from collections.abc import Sequence
from typing import Any

from ruamel.yaml import YAML

from genarm.errors import PipelineError
from genarm.experiments.checks.needs import check_needs
from genarm.experiments.load import Experiment
from genarm.experiments.place import Place
from genarm.experiments.units import Unit, units
from genarm.system.files import sha256, write_text

PARAMS = "params.yaml"
MADE_OF = "made of"  # a key of units.yaml that is no unit
HEADER = "# Made by `genarm compare {name}` from experiment.yaml; what is written here by hand is lost.\n"


def write_stages(experiment: Experiment) -> list[Unit]:
    """Write dvc.yaml and units.yaml where they are not so already; the units, in an order to run them.

    Raises ConfigError first for what the experiment needs and this machine has not.
    """
    check_needs(experiment)
    place, made = experiment.place, units(experiment)
    specs: dict[str, Any] = {unit.name: dict(unit.spec) for unit in made}
    _write_if_new(place, place.units, {MADE_OF: made_of(place)} | specs)
    _write_if_new(place, place.stages, {"stages": {unit.name: _stage(place, unit) for unit in made}})
    return made


def made_of(place: Place) -> dict[str, str]:
    """The hashes of the files that the stages are made from."""
    return {place.relative(path): sha256(path) for path in (place.file, place.root / PARAMS)}


def spec_of(place: Place, unit: str) -> dict[str, Any]:
    """What a unit depends on, as it was written with the stages: no model need be read to know it.

    Raises PipelineError where what they were made from has changed since, or there is no such unit.
    """
    again = f"write its stages again: genarm compare {place.name}"
    if not place.units.is_file():
        raise PipelineError(f"experiment {place.name!r} has no stages yet", hint=again)
    known = YAML(typ="safe").load(place.units.read_text(encoding="utf-8"))
    now = made_of(place)
    if changed := [file for file, digest in now.items() if known.get(MADE_OF, {}).get(file) != digest]:
        raise PipelineError(
            f"{changed[0]} has changed since the stages of {place.name!r} were written", hint=again
        )
    if unit not in known or unit == MADE_OF:
        raise PipelineError(f"experiment {place.name!r} has no unit {unit!r}", hint=again)
    return dict(known[unit])


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
