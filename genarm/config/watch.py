"""What a run leaves for those who watch it."""

from pydantic import Field, field_validator

from genarm.config.numbers import Section


class WatchConfig(Section):
    """What runs leave for those who watch them."""

    metrics: str | None = Field(
        None, description="a file NAME.prom that each run writes at its end, for Prometheus's node_exporter"
    )

    @field_validator("metrics")
    @classmethod
    def _is_collected(cls, file: str | None) -> str | None:
        if file is not None and not file.endswith(".prom"):
            raise ValueError(f"{file!r} does not end in .prom, and node_exporter reads no other files")
        return file
