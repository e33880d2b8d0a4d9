"""Registries on real MLflow: SQLite and files in a folder whose name holds a space and odd signs."""

from pathlib import Path
from typing import Any

import pytest
from registry_toys import DIMENSION, BringChampions, MakeArm, Project, new_project, promote, register

from genarm import registry
from genarm.models import resolve
from genarm.models.arm import write_card
from genarm.registry import Registry
from genarm.types import ArmCard


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The folder of each test's store in turn: making one takes seconds, putting it back does not."""
    folder = tmp_path_factory.mktemp("registry")
    return new_project(folder / "a #project ü, 50% done", folder / "states")


@pytest.fixture
def root(project: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose store is made and empty."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", project.uri)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    project.put_back("empty")
    return project.root


@pytest.fixture
def store(root: Path) -> Registry:
    return registry.connect(root)


@pytest.fixture
def champions_so_far(project: Project, store: Registry, make_arm: MakeArm) -> BringChampions:
    """Brings the store to where the ARMs 0 to n - 1 were registered and promoted, one after the other."""

    def bring(count: int) -> None:
        start = max(n for n in range(count + 1) if n == 0 or project.has(f"champion {n}"))
        project.put_back(f"champion {start}" if start else "empty")
        for n in range(start, count):
            register(store, make_arm(n))
            promote(store, make_arm(n))
            project.keep(f"champion {n + 1}")

    return bring


@pytest.fixture(scope="session")
def make_arm(toy: Any, tmp_path_factory: pytest.TempPathFactory) -> MakeArm:
    """The ARM number n: a LoRA on the toy base, loud enough that any two answer differently."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    source, made = resolve(str(toy.folder)), {}

    def make(seed: int) -> Path:
        if seed not in made:
            folder = tmp_path_factory.mktemp("arms") / f"arm-{seed}"
            model = get_peft_model(
                AutoModelForCausalLM.from_pretrained(toy.folder),
                LoraConfig(r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False),
            )
            torch.manual_seed(seed)
            for name, weight in model.named_parameters():
                if "lora_" in name:
                    torch.nn.init.normal_(weight, std=0.5)
            model.save_pretrained(folder)
            card = ArmCard(
                dimension=DIMENSION,
                model_id="toy",
                model_revision=None,
                model_weights_sha256=source.weights_sha256,
                guides_id="toy",
                guides_revision=None,
                tokenizer_sha256=source.tokenizer_sha256,
                adapter_sha256="",
                beta=0.1,
                weight=1.5,
                pairs_sha256="p" * 64,
                data_md5="d" * 32,
                git_commit="c" * 40,
                params={"learning_rate": 5e-4, "lora": {"rank": 2}},
            )
            write_card(folder, card)
            made[seed] = folder
        return made[seed]

    return make
