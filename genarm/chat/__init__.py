"""`genarm chat`: a conversation with the base model alone and with base plus ARMs, side by side."""
