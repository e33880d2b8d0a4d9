"""Guided decoding inside vLLM: one vLLM request is one guided request.

    rows of a layer     [base T | ARM 1 T | ARM 2 T ...], for the T tokens of a step
    KV cache            an attention layer for each ARM, under the request's one block table
    guidance            a logits processor adds the ARMs' rows to the base's, by the weights of each request

Chunked prefill, prefix cache, preemption and cancellation are vLLM's own. The rows of an ARM begin at its
first adapted layer. vLLM's pins are others than genarm's, so it has an environment of its own:
`make serve-vllm`.
"""

FAMILIES = ("Llama", "Mistral", "Qwen2", "Qwen3")


def register() -> None:
    """Make the guided architectures known to vLLM, which calls this by its entry point in every process."""
    from vllm import ModelRegistry
    from vllm.model_executor.models.config import MODELS_CONFIG_MAP

    from genarm.vllm.engine_config import GuidedConfig

    for family in FAMILIES:
        architecture = f"Guided{family}ForCausalLM"
        if architecture not in ModelRegistry.get_supported_archs():
            ModelRegistry.register_model(architecture, f"genarm.vllm.models:{architecture}")
        MODELS_CONFIG_MAP[architecture] = GuidedConfig
