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
}
MAY_IMPORT["baselines"] = EVERYONE | {
    "config",
    "models",
    "data",
    "training",
    "decoding",
    "judges",
    "evaluation",
}
MAY_IMPORT["registry"] = EVERYONE | {"models", "decoding", "baselines"}  # versions that are best of n
MAY_IMPORT["pipeline"] = set(MAY_IMPORT) - {"synthesis", "baselines"}
MAY_IMPORT["feedback"] = EVERYONE | {"config"}
MAY_IMPORT["intake"] = EVERYONE | {"config", "models", "data", "feedback"}
# What people start, which nobody but the command line imports.
MAY_IMPORT |= {
    "chat": EVERYONE | {"config", "models", "decoding", "evaluation", "pipeline"},
    "serve": EVERYONE
    | {"config", "models", "decoding", "evaluation", "registry", "pipeline", "feedback", "canary"},
    "vllm": EVERYONE | {"models", "decoding"},
    "doctor": EVERYONE | {"config", "models", "data", "registry", "pipeline"},
    "operations": EVERYONE
    | {"config", "models", "data", "training", "judges", "evaluation", "report", "registry", "pipeline"}
    | {"intake"},
}
MAY_IMPORT["experiments"] = set(MAY_IMPORT) - {
    *("synthesis", "chat", "serve", "vllm", "doctor", "operations", "intake", "feedback")
}
MAY_IMPORT["watch"] = EVERYONE | {
    "config",
    "models",
    "data",
    "judges",
    "evaluation",
    "registry",
    "pipeline",
    "intake",
    "doctor",
}
MAY_IMPORT["canary"] = EVERYONE | {
    "config",
    "judges",
    "evaluation",
    "registry",
    "pipeline",
    "feedback",
    "watch",
}
MAY_IMPORT["cli"] = (
    EVERYONE
    | {"canary", "chat", "serve", "config", "doctor", "operations", "pipeline", "report", "synthesis"}
    | {"experiments", "intake", "watch", "feedback"}
)
FLOWS_MAY_IMPORT = EVERYONE | {
    "models",
    "data",
    "registry",
    "report",
    "pipeline",
    "experiments",
    "intake",
    "watch",
}
