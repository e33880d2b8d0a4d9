"""What the tests of the command line share: parameters without a model, and prompts."""

from genarm.types import Message, Prompt

PARAMS = """
base: {model: nowhere}
dimensions: [length, brief]
pairs: {sources: {length: {files: a}, brief: {files: b}}}
train: {default: {}, length: {}, brief: {}}
respond: {weights: {length: 1, brief: 1}}
judge: {length: {scorer: length}, brief: {scorer: brief}}
decide: {margin: 0.15}
"""
PROMPTS = [Prompt((Message("user", f"question {i}"),)) for i in range(30)]
