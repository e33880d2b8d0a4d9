"""Who may import whom: a row a package; `docs/architecture.md` shows the same table."""

EVERYONE = {"types", "errors", "system"}
# A package may import itself, EVERYONE and what its row names.
MAY_IMPORT: dict[str, set[str]] = {
    "types": set(),
    "errors": set(),
    "config": {"errors"},
    "system": {"types", "errors"},
    "models": EVERYONE,
    "data": EVERYONE | {"config", "models"},
    "training": EVERYONE | {"config", "models", "data"},
    "decoding": EVERYONE | {"models"},
    "judges": EVERYONE | {"config", "models"},
    "evaluation": EVERYONE | {"config", "models", "decoding"},
    "report": EVERYONE | {"evaluation"},
    "synthesis": EVERYONE | {"config", "models", "data", "decoding", "judges", "evaluation"},
    "registry": EVERYONE | {"models", "decoding"},
}
MAY_IMPORT["pipeline"] = set(MAY_IMPORT)
DOORS = ("chat", "doctor", "operations")
MAY_IMPORT |= {door: set(MAY_IMPORT) for door in DOORS}
MAY_IMPORT["cli"] = set(MAY_IMPORT)
FLOWS_MAY_IMPORT = set(MAY_IMPORT) - {"cli", *DOORS}
