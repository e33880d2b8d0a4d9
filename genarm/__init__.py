"""genarm: test-time alignment of frozen language models with autoregressive reward models."""

__version__ = "0.1.0"
