"""What kind of attention each layer has, and how far it sees."""

from types import SimpleNamespace

import pytest
from toys import toy_model

from genarm.errors import ConfigError
from genarm.models.layers import FULL, SLIDING, attention_windows, decoder_layers, linear_modules, top_layers


def config(**values):
    return SimpleNamespace(num_hidden_layers=2, **values)


def test_layers_without_kinds_slide_wherever_a_window_is_set():
    assert attention_windows(config()) == ([FULL, FULL], [None, None])
    assert attention_windows(config(sliding_window=4)) == ([SLIDING, SLIDING], [4, 4])


def test_layers_with_kinds_slide_where_their_kind_says_so():
    kinds = [SLIDING, FULL]
    assert attention_windows(config(layer_types=kinds, sliding_window=4)) == (kinds, [4, None])


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"layer_types": [FULL, "linear_attention"]}, "linear_attention"),
        ({"is_causal": False}, "not causal"),
        ({"use_bidirectional_attention": True}, "not causal"),
    ],
)
def test_other_attention_is_refused(values, says):
    with pytest.raises(ValueError, match=says):
        attention_windows(config(**values))


def test_linear_modules_are_named_below_their_layer():
    name, layers = decoder_layers(toy_model(layers=3))
    assert (name, len(layers)) == ("layers", 3)
    names = linear_modules(layers, lowest=2)
    assert len(names) == 7 and names[0] == "self_attn.q_proj"


def test_the_top_layers_are_those_of_the_setting_that_an_error_names():
    model = toy_model(layers=3)
    top = top_layers(model, 2, "lora.layers")
    assert (len(top.linear), top.indices, top.pattern) == (14, [1, 2], "layers")
    everything = top_layers(model, "all", "lora.layers")
    assert (len(everything.linear), everything.indices, everything.pattern) == (21, None, None)
    with pytest.raises(ConfigError, match="--layers = 4, but the model has 3 layers; hint: choose 1 to 3"):
        top_layers(model, 4, "--layers")
