"""What the tests of the command line share: parameters without a model, and prompts."""

from genarm.types import Message, Prompt

PARAMS = """
base: {model: nowhere}
dimensions:
  length: {data: a, judge: length, weight: 1}
  brief: {data: b, judge: brief, weight: 1}
pairs: {max_tokens: 512}
decide: {margin: 0.15}
"""
_TOKENS, _SPLIT = {"mean": 4.5, "max": 8}, {"pairs": 9, "longer_is_chosen": 0.5}
STATS = {
    "rows": 30,
    "pairs": 27,
    "prompt": _TOKENS,
    "chosen": _TOKENS,
    "rejected": _TOKENS,
    "splits": dict.fromkeys(("train", "validation", "evaluation"), _SPLIT),
}
PROMPTS = [Prompt((Message("user", f"question {i}"),)) for i in range(30)]
