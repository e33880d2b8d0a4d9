"""From preference pairs to an ARM."""
