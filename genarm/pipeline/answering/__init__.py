"""Evaluation prompts answered by guided servers (`respond.engine`), in place of the stage's own process.

A reading order: `identity` (what both must share), `failures`, `listing` (what a server serves), `replica`
(one server), `sharding` (prompts over several), `journal` (answers as they come), `remote` (prompts to
responses).
"""
