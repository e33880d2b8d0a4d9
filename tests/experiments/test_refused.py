"""What cannot work, or would be replaced in silence, is refused before anything is run."""

import copy
import json

import pytest
import toy_experiment as toy
from toy_pipeline import make_base

from genarm.errors import ConfigError, DataError
from genarm.experiments import pairs
from genarm.experiments.checks.names import WANTED
from genarm.experiments.methods import METHODS
from genarm.experiments.stages import write_stages
from genarm.experiments.trainers import TRAINERS
from genarm.system.files import write_rows
from genarm.types import Message, PreferencePair, Prompt

LLM = {"llm": {"model": "m", "base_url": "http://localhost:1/v1"}}


def wide(*path, to):
    """The wide toy with one value changed."""
    values = copy.deepcopy(toy.wide_experiment())
    *above, last = path
    place = values
    for key in above:
        place = place[key]
    place[last] = to
    return values


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (wide("models", "simpo", "train", to={"learnin_rate": 1}), "unknown key 'train.learnin_rate'"),
        (wide("models", "morl", "train", to={"stps": 1}), r"'train.stps' \(did you mean 'steps'"),
        (wide("models", "weak", "train", to={}), "missing key 'train.layers'"),
        (wide("models", "morl", "weights", to={"vowels": 1.0, "other": 1.0}), "the weights sum to 2"),
        (wide("models", "morl", "weights", to=None), "2 rewards need `weights`"),
        (wide("models", "arm", "train", to={"seed": 7}), "train.seed = 7 does not count"),
        (wide("models", "dpo", "train", to={"objective": "arm"}), "trainer dpo trains with objective dpo"),
        (wide("models", "arm", "train", to={"warm_start": "champion"}), "train.warm_start is not used"),
        (wide("models", "weak-arm", "train", to={"model": "x/y"}), "trained on 'weak' by `on`"),
        (wide("models", "weak-arm", "on", to="weak-arm"), "made of itself: weak-arm on weak-arm"),
        (wide("models", "weak-arm", "on", to="dpo"), "on is a whole language model, and models.dpo"),
        (wide("models", "parm", "train", to={"method": "full"}), "PARM is an adapter"),
        (wide("methods", "args", "reward", to="arm"), r"reward is a reward model, and models.arm \(trainer"),
        (wide("methods", "transfer", "aligned", to="rm"), "models.rm .* is a reward model"),
        (wide("methods", "transfer", "beta", to=1.0), "beta = 1 is only used with a baseline_reward"),
        (wide("methods", "best", "implicit", to=True), "implicit is a way to choose by an ARM"),
        (wide("methods", "soup", "adapters", "vowels", to="dpo-other"), "which is trained on 'other'"),
        (wide("methods", "parm", "dimensions", to=["vowels", "nope"]), "unknown dimension 'nope'"),
        (wide("methods", "both", "weight", to=-1.0), "greater than or equal to 0"),
        (wide("methods", "guided", "tune", to={"weight": [-1.0]}), "greater than or equal to 0"),
        (wide("methods", "guided", "tune", to={"weight": []}), "at least 1 item"),
        (wide("methods", "guided", "tune", to={"weight": [0.0, 0.0]}), "the weight 0.0 stands twice"),
        (wide("methods", "guided", "weight", to=3.0), "weight stands in the row itself and in tune"),
        (wide("methods", "both", "tune", to={"share": [0.5]}), "share stands in tune and in front"),
        (wide("methods", "parm", "prompts", to=2), "a front needs 4 prompts"),
        (wide("methods", "transfer", "speed", to={"tokens": 4, "batches": [4]}), "one in common"),
        (wide("speed", to=None), "compared by time, and `speed` is null"),
        (wide("sampling", "temperature", to=0), "are all the same at sampling.temperature 0"),
        (wide("sampling", "speculate", to=True), "sampling.speculate is not used"),
        (wide("judges", "vowels", "held_out", to="toy_scorers:vowels"), "held_out is the gold judge itself"),
        (wide("judges", "vowels", to={"gold": LLM}), "a front needs scores"),
        (wide("over", to=["base", "base"]), "the row 'base' stands twice"),
        (wide("claims", "beats", to=["guided"]), "compares the subject 'guided' with itself"),
        (wide("claims", "faster", to={"args": -1}), "greater than 0"),
        (wide("claims", "recovers", to={"floor": "dpo", "ceiling": "dpo"}), "which must differ"),
    ],
)
def test_what_cannot_work_is_refused_as_it_is_read(loaded, values, told):
    with pytest.raises(ConfigError, match=told) as error:
        loaded(values)
    assert "\n" not in str(error.value)


def test_a_judge_without_scores_must_have_compared_the_rows_of_a_claim(loaded):
    values = toy.toy_experiment()
    values["judges"]["vowels"] = {"gold": LLM}
    with pytest.raises(ConfigError, match="only if `over` names one of them"):
        loaded(values)
    loaded(values | {"over": ["base", "sharpened"]})


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (wide("methods", "args", "k", to=10**6), "k = 1000000, and the base has 264 tokens"),
        (wide("models", "weak", "train", "layers", to=6), "layers = 6, and the base has 6"),
        (wide("judges", "vowels", "gold", to="positve"), r"unknown scorer 'positve' \(did you mean 'posi"),
        (wide("models", "arm", to={"trainer": "folder", "path": "none"}), "the folder none is not there"),
        (wide("prompts", to={"file": "twice.jsonl", "n": 4}), "prompt 3 is prompt 1 again"),
        (wide("prompts", to={"file": "none.jsonl", "n": 4}), "there is no file none.jsonl"),
    ],
)
def test_no_stage_is_written_of_what_this_machine_cannot_do(loaded, toy_project, values, told):
    rows = [json.dumps({"prompt": text}) for text in ("a", "b", "a ")]
    (toy_project / "twice.jsonl").write_text("\n".join(rows) + "\n")
    experiment = loaded(values, "needs")
    with pytest.raises(ConfigError, match=told):
        write_stages(experiment)
    assert not experiment.place.stages.exists()


@pytest.mark.parametrize(
    ("row", "setting", "model"),
    [("transfer", "aligned", "dpo"), ("args", "reward", "rm"), ("proxy", "arm", "weak-arm")],
)
def test_a_model_with_another_tokenizer_is_refused_before_anything_is_trained(
    loaded, toy_project, row, setting, model
):
    """A whole model by its files: `a` and `b` change their ids, which the base does not know of."""
    folder = toy_project / "foreign"
    if not folder.is_dir():
        make_base(folder)
        written = json.loads((folder / "tokenizer.json").read_text())
        vocabulary = written["model"]["vocab"]
        vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
        (folder / "tokenizer.json").write_text(json.dumps(written))
    config = json.loads((folder / "config.json").read_text())
    kind = "LlamaForSequenceClassification" if setting == "reward" else "LlamaForCausalLM"
    (folder / "config.json").write_text(json.dumps(config | {"architectures": [kind]}))
    values = wide("methods", row, setting, to="foreign")
    values["models"]["foreign"] = {"trainer": "folder", "path": "foreign"}
    experiment = loaded(values, "tokens")
    told = r"models.foreign: foreign has another tokenizer than the base base, .*: token \d+: '[ab]' ag"
    with pytest.raises(ConfigError, match=told) as error:
        write_stages(experiment)
    assert "train one here" in error.value.hint and not experiment.place.stages.exists()


def test_an_adapter_of_another_tokenizer_is_refused_by_its_card(loaded, toy_project):
    folder = toy_project / "adapted"
    folder.mkdir()
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    (folder / "arm.json").write_text(json.dumps({"tokenizer_sha256": "f" * 64}))
    values = wide("methods", "dpo", "adapter", to="adapted")
    values["models"]["adapted"] = {"trainer": "folder", "path": "adapted"}
    experiment = loaded(values, "card")
    with pytest.raises(ConfigError, match="models.adapted: adapted has another tokenizer .* f{12} by"):
        write_stages(experiment)
    fits = {"tokenizer_sha256": experiment.base.tokenizer_sha256}
    (folder / "arm.json").write_text(json.dumps(fits))
    write_stages(experiment)


def test_every_setting_that_names_models_says_what_may_stand_there():
    named = {key for kind in (*METHODS.values(), *TRAINERS.values()) for key in kind.models}
    assert named == set(WANTED)


@pytest.mark.parametrize(("split", "told"), [("train", "training"), ("validation", "validation")])
def test_a_prompt_that_goes_on_from_a_conversation_seen_is_refused(loaded, toy_project, split, told):
    values = toy.toy_experiment() | {"prompts": {"file": "own.jsonl", "n": 4}}
    experiment = loaded(values, f"leak-{split}")
    seen = Prompt((Message("user", f"seen in {split}"),))
    for name in ("train", "validation", "evaluation"):
        prompt = seen if name == split else Prompt((Message("user", f"of {name}"),))
        folder = experiment.place.pairs("vowels")
        write_rows(folder / f"{name}.jsonl", [PreferencePair(prompt, "yes", "no")])
    turns = [("user", f"seen in {split}"), ("assistant", "yes"), ("user", "and more")]
    longer = [{"role": role, "content": text} for role, text in turns]
    rows = [{"prompt": "new"}, {"prompt": longer}]
    (toy_project / "own.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    with pytest.raises(DataError, match=f"1 of the 2 prompts .* {told} pairs, the first of them prompt 2"):
        pairs.write_prompts(experiment)
