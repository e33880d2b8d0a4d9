"""Which rows of an experiment become versions, what their folders are, and which are refused."""

import pytest
import toy_experiment as toy
from peft import PeftConfig
from toy_arms import make_arm
from toy_rewards import llama, save

from genarm.baselines.best_of_folder import best_of
from genarm.baselines.training.policy import POLICY
from genarm.errors import AdapterError, ConfigError, PipelineError
from genarm.experiments.methods import METHODS
from genarm.experiments.register import register
from genarm.experiments.versions import MAKERS, REFUSED, VersionContext
from genarm.models import resolve
from genarm.models.arm import read_card

# peft 0.21 asks transformers 5.23 by the old name


@pytest.fixture
def context(toy, tmp_path):
    source = resolve(str(toy.folder))
    models = {name: make_arm(tmp_path / name, source, toy.model, seed=i) for i, name in enumerate("ab")}
    models["rm"] = save(tmp_path / "rm", llama(seed=5))
    return VersionContext(source, "float32", models, "vowels", POLICY, {"experiment": "toy", "row": "r"})


def test_every_method_is_served_or_refused():
    assert set(MAKERS) | set(REFUSED) == set(METHODS) and not set(MAKERS) & set(REFUSED)


@pytest.mark.parametrize(
    ("method", "settings", "use"),
    [
        ("soup", {"adapters": {"x": "a", "y": "b"}, "share": 0.25}, (1.0, "contrast")),
        ("adapter", {"adapter": "a"}, (1.0, "contrast")),
        ("guided", {"arms": {"x": "a"}, "weight": 0.3, "guidance": "sum"}, (0.3, "sum")),
        ("best_of_n", {"n": 3, "reward": "rm"}, (1.0, "sum")),
        ("best_of_n", {"n": 3, "arm": "a", "implicit": True}, (1.0, "sum")),
    ],
)
def test_a_row_becomes_the_folder_of_a_version(context, tmp_path, method, settings, use):
    card = MAKERS[method](context, settings, tmp_path / "out")
    assert read_card(tmp_path / "out") == card and card.dimension == "vowels"
    assert (card.weight, card.guidance) == use
    assert card.params["experiment"] == "toy" and card.params["row"] == "r"
    again = MAKERS[method](context, settings, tmp_path / "again")
    assert again.adapter_sha256 == card.adapter_sha256  # the same version
    if method == "soup":
        assert card.params["weights"] == {"x": 0.25, "y": 0.75}
        assert card.params["adapters"]["x"] == read_card(context.models["a"]).adapter_sha256
    if method in ("soup", "adapter"):  # the strength that was measured is the one that is served
        half = MAKERS[method](context, settings | {"scale": 0.5}, tmp_path / "half")
        alphas = [PeftConfig.from_pretrained(tmp_path / name).lora_alpha for name in ("out", "half")]
        assert alphas[1] == alphas[0] / 2 and half.adapter_sha256 != card.adapter_sha256
    if method == "best_of_n":
        assert best_of(tmp_path / "out").n == 3
        more = MAKERS[method](context, settings | {"n": 4}, tmp_path / "more")
        assert more.adapter_sha256 != card.adapter_sha256


@pytest.mark.parametrize(
    ("method", "settings", "error"),
    [
        ("guided", {"arms": {"x": "a", "y": "b"}}, "guided by 2 ARMs at once"),
        ("best_of_n", {"n": 3, "judge": {"scorer": "brief"}}, "a judge chooses"),
        ("best_of_n", {"n": 1, "arm": "a"}, "the best of 1 is the base itself"),
    ],
)
def test_what_no_version_can_be_is_refused(context, tmp_path, method, settings, error):
    with pytest.raises((ConfigError, AdapterError), match=error):
        MAKERS[method](context, settings, tmp_path / "out")


def test_a_row_that_is_not_there_or_not_measured_is_refused(loaded):
    experiment = loaded(toy.toy_experiment(), "unmeasured")
    with pytest.raises(ConfigError, match=r"no row 'guide' \(did you mean 'guided'"):
        register(experiment, "guide")
    with pytest.raises(ConfigError, match="is sharpened, and is not registered"):
        register(experiment, "sharpened")
    with pytest.raises(ConfigError, match="seeds 0, 1, not with 7"):
        register(experiment, "guided", seed=7)
    with pytest.raises(ConfigError, match="'vowel' is no dimension of params.yaml"):
        register(experiment, "guided", dimension="vowel")
    with pytest.raises(PipelineError, match="so 'guided' is not what was measured"):
        register(experiment, "guided")
