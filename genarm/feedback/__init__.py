"""What people prefer: comparisons of two responses with their votes, and the pairs made of them.

A reading order: `comparison` (the nouns), `address`, `schema`, `database`, `people`, `store`, `bounds` (which
votes count), `export` (pairs), `summary`.
"""
