"""What an engine is told of its ARMs, and their factors in rows: nothing here needs vLLM."""

import pytest
import torch
from toy_arms import save_arms

from genarm.errors import AdapterError, ConfigError
from genarm.models import resolve
from genarm.vllm.layout import place_of, read_layout
from genarm.vllm.low_rank import LowRank, Shard


@pytest.fixture(scope="module")
def arms(toy, tmp_path_factory):
    return save_arms(tmp_path_factory.mktemp("arms"), resolve(str(toy.folder)), toy.model)


def told(arms, **settings):
    return {"genarm": {"arms": {name: str(folder) for name, folder in arms.items()}, **settings}}


def test_rows_begin_at_the_first_adapted_layer_and_are_only_added(arms):
    layout = read_layout(told(arms))
    assert [(arm.name, arm.first_layer) for arm in layout.arms] == [
        *[("all", 0), ("attention", 1), ("middle", 2), ("top", 3)]
    ]
    assert [layout.arms_at(layer) for layer in range(4)] == [1, 2, 3, 4]
    assert layout.max_rank == 5 and layout.tokens is None


def test_room_may_be_left_for_versions_to_come(arms):
    layout = read_layout(told(arms, max_rank=8, first_layer={"top": 1}, tokens=261))
    assert layout.max_rank == 8 and layout.tokens == 261
    assert [layout.arms_at(layer) for layer in range(4)] == [1, 3, 4, 4]
    small = read_layout(told(arms, max_rank=2, first_layer={"middle": 3}))
    assert small.arms == read_layout(told(arms)).arms and small.max_rank == 5, "never less than they need"
    assert read_layout({"genarm": {"arms": {}}}).max_rank == 1


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"rank": 8}, "genarm.rank is no setting; hint: settings are arms, max_rank"),
        ({"first_layer": {"other": 1}}, "genarm.first_layer names ARM 'other'"),
    ],
)
def test_settings_are_checked(arms, settings, says):
    with pytest.raises(ConfigError, match=says):
        read_layout(told(arms, **settings))


def test_without_arms_told_the_way_is_shown():
    with pytest.raises(ConfigError, match="has no 'genarm' with 'arms'"):
        read_layout({})


def test_an_adapter_beyond_the_layers_is_refused_by_the_name_of_its_tensor():
    assert place_of("kind", "model.layers.3.mlp.up_proj") == (3, "mlp", "up_proj")
    with pytest.raises(
        AdapterError, match=r"'kind' has base_model\.model\.lm_head\.lora_A\.weight, which is"
    ):
        place_of("kind", "lm_head")


def test_low_rank_rows_are_those_of_each_arm_alone():
    """Two ARMs beside a joined module of three: by hand, with a rank below the room."""
    torch.manual_seed(0)
    sizes = (5, 3, 3)
    beside = LowRank(2, 4, Shard(6), [Shard(size) for size in sizes])
    factors = {
        arm: {j: (torch.randn(2 + j, 6), torch.randn(sizes[j], 2 + j)) for j in (0, 2)} for arm in (0, 1)
    }
    for arm, of_arm in factors.items():
        beside.write(
            arm, {0: (torch.randn(4, 6), torch.randn(5, 4)), 1: (torch.randn(4, 6), torch.randn(3, 4))}
        )
        beside.write(arm, of_arm)  # what was there before is gone
    x, y = torch.randn(9, 6), torch.randn(9, 11)
    wanted = y.clone()
    for arm, of_arm in factors.items():
        rows = slice(3 + 3 * arm, 6 + 3 * arm)
        for j, (down, up) in of_arm.items():
            columns = slice(sum(sizes[:j]), sum(sizes[: j + 1]))
            wanted[rows, columns] += x[rows] @ down.T @ up.T
    torch.testing.assert_close(beside(x, y), wanted, atol=1e-5, rtol=0)
    assert beside.a.shape == (2, 6, 12)


def test_parts_of_two_processes_make_the_whole():
    """Outputs spread, but one that both have; inputs spread, what they read summed up."""
    torch.manual_seed(0)
    sizes, factors = (8, 4), {j: (torch.randn(3, 6), torch.randn(size, 3)) for j, size in enumerate((8, 4))}
    x, y = torch.randn(4, 6), torch.zeros(4, 12)
    whole = LowRank(1, 3, Shard(6), [Shard(size) for size in sizes])
    whole.write(0, factors)
    wanted = whole(x, y.clone())[2:]
    for index in (0, 1):
        part = LowRank(1, 3, Shard(6), [Shard(8, index, 2), Shard(4)])
        part.write(0, factors)
        got = part(x, torch.zeros(4, 8))[2:]
        torch.testing.assert_close(got, torch.cat((wanted[:, 4 * index : 4 * index + 4], wanted[:, 8:]), 1))
    lows = []
    for index in (0, 1):
        part = LowRank(
            1, 3, Shard(6, index, 2), [Shard(size) for size in sizes], lambda low: lows.append(low) or low
        )
        part.write(0, factors)
        part(x[:, 3 * index : 3 * index + 3], y.clone())
    torch.testing.assert_close(torch.bmm(sum(lows), whole.b)[0], wanted)
