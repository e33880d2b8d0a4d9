"""The flows. Prefect reads its settings when it is imported, so they are set here, before any flow is."""

from genarm import env

env.prepare(env.project_root())
