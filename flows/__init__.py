"""The flows. Prefect reads its settings when it is imported, so they are set here, before any flow is."""

from genarm.system import env

env.prepare(env.project_root())
