"""What is refused as a reward model, and the head of Beaver's models."""

import pytest
import torch
from toy_rewards import as_beaver, change_tensors, llama, save, talk
from toys import reconfigure, toy_model

from genarm.config import JudgeConfig
from genarm.errors import JudgeError
from genarm.judges import load_judge
from genarm.judges.check import check, own_files


def config_of(folder, **more):
    return JudgeConfig(reward_model={"model": str(folder), **more})


def test_a_head_that_is_not_in_the_checkpoint_is_refused_by_its_name(tmp_path):
    folder = save(tmp_path, llama())
    change_tensors(folder, lambda tensors: tensors.update(value_head=tensors.pop("score.weight")))
    with pytest.raises(JudgeError, match=r"score\.weight.*they hold value_head") as caught:
        load_judge(config_of(folder)).score(talk("hi"), "yes")
    assert "random" in caught.value.hint
    with pytest.raises(JudgeError, match=r"score\.weight.*they hold value_head"):
        check(config_of(folder), None)  # before anything is trained


def test_any_other_tensor_that_is_missing_is_refused(tmp_path):
    folder = save(tmp_path, llama())
    change_tensors(folder, lambda tensors: tensors.pop("model.norm.weight"))
    with pytest.raises(JudgeError, match=r"model\.norm\.weight"):
        load_judge(config_of(folder)).score(talk("hi"), "yes")


@pytest.mark.parametrize("bias", [None, 2.5])
def test_the_head_of_beaver_is_put_in_its_place(bias, tmp_path):
    model = llama()
    plain = load_judge(config_of(save(tmp_path / "plain", model)))
    as_beaver(folder := save(tmp_path / "beaver", model), bias=bias)
    check(config_of(folder), None)
    for text in ("yes", "no"):
        expected = plain.score(talk("hi"), text) + (bias or 0)
        assert load_judge(config_of(folder)).score(talk("hi"), text) == pytest.approx(expected, abs=1e-5)


def test_a_language_model_is_no_reward_model(tmp_path, monkeypatch):
    folder = save(tmp_path, toy_model())
    monkeypatch.setattr(torch.nn.Module, "__init__", lambda *a, **k: pytest.fail("a model was built"))
    with pytest.raises(JudgeError, match="LlamaForCausalLM, no reward model"):
        check(config_of(folder), None)


def test_a_model_of_several_labels_needs_to_be_told_which(tmp_path):
    model = llama(num_labels=3)
    folder = save(tmp_path, model)
    with pytest.raises(JudgeError, match="3 labels") as caught:
        check(config_of(folder), None)
    assert "reward_model.label" in caught.value.hint
    with pytest.raises(JudgeError, match=r"label is 3.* 3 labels"):
        check(config_of(folder, label=3), None)
    found = [load_judge(config_of(folder, label=i)).score(talk("hi"), "yes") for i in range(3)]
    assert len(set(found)) == 3


def test_pickled_weights_and_absent_folders_are_refused_before_anything_is_loaded(tmp_path):
    folder = save(tmp_path / "model", llama())
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(JudgeError, match=r"safetensors") as caught:
        check(config_of(folder), None)
    assert "pickled" in caught.value.hint
    with pytest.raises(JudgeError, match="no such folder"):
        check(config_of(tmp_path / "nowhere"), None)


def test_code_of_its_own_is_never_run(tmp_path):
    folder = save(tmp_path, llama())
    reconfigure(folder, model_type="mine", auto_map={"AutoModel": "mine.Mine"})
    with pytest.raises(JudgeError, match="never run"):
        check(config_of(folder), None)


def test_a_tokenizer_without_a_template_is_told_where_one_goes(tmp_path):
    folder = save(tmp_path, llama())
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(JudgeError, match="chat template") as caught:
        load_judge(config_of(folder)).score(talk("hi"), "yes")
    assert "reward_model.chat_template" in caught.value.hint and "base." not in str(caught.value)


def test_a_folder_of_the_project_is_found_and_is_what_verdicts_depend_on(tmp_path):
    save(tmp_path / "models" / "rm", llama())
    config = config_of("models/rm")
    check(config, tmp_path)
    assert isinstance(load_judge(config, tmp_path).score(talk("hi"), "yes"), float)
    assert tmp_path / "models/rm/model.safetensors" in own_files(config, tmp_path)
    assert own_files(config_of(tmp_path / "models/rm"), tmp_path / "elsewhere") == []
