"""A language model behind an OpenAI-compatible API as a judge: both orders, read strictly, kept on disk."""
