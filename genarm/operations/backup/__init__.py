"""Backups of the team's servers: databases, votes, MLflow's files and the DVC remote, with SHA-256.

    python -m genarm.operations.backup save backups
    python -m genarm.operations.backup restore backups/2026-11-27T04-50-00Z

A reading order: `settings` (where everything is), `databases`, `votes`, `stores` (files and objects), `sums`,
`earlier` (what the last backup has already), `saving`, `restoring`.
"""
