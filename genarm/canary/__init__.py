"""A challenger beside the champion in service: who is answered by whom, what is judged, and how it ends.

`assignment` chooses, `spool` hands what both answered from the server to the judge, `judging` looks at it,
`ending` carries out what the rule says (`genarm.evaluation.canary`). The record is
`genarm.registry.canaries`.
"""
