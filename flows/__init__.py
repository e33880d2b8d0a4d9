"""The flows. Importing them changes nothing in the environment.

Prefect reads its settings when it is imported, and these modules import it, so an entry point calls
`genarm.system.env.prepare(root)` before it imports a flow: `genarm run`, `genarm data` and
`python -m genarm.flows.deploy` do. A Prefect worker has imported Prefect long before it loads a flow, so its
settings come from its own environment. What stages, MLflow and DVC need is set by each flow as it begins,
whoever started it.
"""
