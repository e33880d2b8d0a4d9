"""What people prefer: comparisons of two responses with their votes, kept in a database, and pairs made of them.

A reading order: `comparison` (the nouns), `address`, `schema`, `database`, `store`, `bounds` (which votes count),
`export` (pairs), `summary`.
"""
