"""The shape of the chat templates of known families, for what a check must let pass."""

_CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
_DEEPSEEK = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}<|User|>{{ m.content }}{% else %}"
    "<|Assistant|>{{ m.content.split('</think>')[-1] }}</s>{% endif %}{% endfor %}"
)
_IF = "{% if add_generation_prompt %}"

FAMILIES = {
    "qwen2": _CHATML + _IF + "<|im_start|>assistant\n{% endif %}",
    # A thought that the prompt opens, and that past turns have not.
    "qwq": _CHATML + _IF + "<|im_start|>assistant\n<think>\n{% endif %}",
    "deepseek r1": _DEEPSEEK + _IF + "<|Assistant|><think>\n{% endif %}",
    # An empty thought that past turns have, and the prompt does not.
    "qwen3": _CHATML.replace(
        "\n{{ m.content }}",
        "\n{% if m.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}{{ m.content }}",
    )
    + _IF
    + "<|im_start|>assistant\n{% endif %}",
    # The turn's channel follows the prompt.
    "gpt-oss": "{% for m in messages %}<|start|>{{ m.role }}"
    "{% if m.role == 'assistant' %}<|channel|>final{% endif %}<|message|>{{ m.content }}<|end|>{% endfor %}"
    + _IF
    + "<|start|>assistant{% endif %}",
    "llama 3": "{% for m in messages %}<|start|>{{ m.role }}<|stop|>\n\n{{ m.content | trim }}<|eot|>"
    "{% endfor %}" + _IF + "<|start|>assistant<|stop|>\n\n{% endif %}",
    # No word of its own before an answer.
    "mistral": "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% else %}{{ ' ' + m.content + eos_token }}{% endif %}{% endfor %}",
    "always open": "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}<|assistant|>",
    "falcon": "{% for m in messages %}{% if not loop.first %}\n{% endif %}"
    "{{ 'User' if m.role == 'user' else 'Assistant' }}: {{ m.content | trim }}{% endfor %}"
    + _IF
    + "\nAssistant:{% endif %}",
    "phi-3": "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    + _IF
    + "<|assistant|>\n{% else %}{{ eos_token }}{% endif %}",
    "only questions": "{% for m in messages %}{% if m.role != 'user' %}{{ raise_exception('no') }}{% endif %}"
    "<|user|>{{ m.content }}{% endfor %}<|assistant|>",
}
