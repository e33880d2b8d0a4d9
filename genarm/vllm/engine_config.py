"""What an engine needs for guidance beyond its model, filled in or refused before anything is loaded."""

from vllm.config import VllmConfig
from vllm.model_executor.models.config import VerifyAndUpdateConfig

from genarm.errors import ConfigError
from genarm.vllm.layout import read_layout
from genarm.vllm.weights import known_arms

ROWS = "genarm.vllm.processors:RowGuidance"
SLOTS = "genarm.vllm.processors:SlotGuidance"
WORKER = "genarm.vllm.worker.GuidedWorker"


class GuidedConfig(VerifyAndUpdateConfig):
    """vLLM calls it for the guided architectures."""

    @staticmethod
    def verify_and_update_config(vllm_config: VllmConfig) -> None:
        """Add the logits processor of the runner and the worker's swapping.

        Raises ConfigError for a setting that guidance does not work with, and what `read_layout` raises.
        """
        layout = read_layout(vllm_config.additional_config)
        parallel, model = vllm_config.parallel_config, vllm_config.model_config
        for wrong, what in (
            (parallel.pipeline_parallel_size > 1, "pipeline parallelism"),
            (vllm_config.speculative_config is not None, "speculative decoding"),
            (vllm_config.lora_config is not None, "vLLM's own LoRA"),
            (vllm_config.quant_config is not None, "a quantised base"),
        ):
            if wrong:
                raise ConfigError(
                    f"guidance in vLLM does not work with {what}",
                    hint="leave it out, or use the built-in engine",
                )
        known_arms(layout.names)
        mine = SLOTS if vllm_config.use_v2_model_runner else ROWS
        others = [p for p in model.logits_processors or [] if p not in (SLOTS, ROWS)]
        model.logits_processors = [*others, mine]
        if parallel.worker_extension_cls in ("", WORKER):
            parallel.worker_extension_cls = WORKER
