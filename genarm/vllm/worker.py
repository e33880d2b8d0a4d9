"""What a server asks of every worker of an engine, by `collective_rpc`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genarm.vllm.models import Guided


class GuidedWorker:
    """Methods that vLLM adds to its worker."""

    model_runner: Any

    def swap_arm(self, name: str, folder: str) -> str | None:
        """Replace an ARM in place; why not, where it does not fit, and then the old one stays.

        Nothing is raised: with several workers vLLM would read the answers of the others as those of the next
        call.
        """
        try:
            self._guided().load_arm(name, Path(folder))
        except Exception as error:
            return str(error) or type(error).__name__
        return None

    def guided_rows(self) -> int:
        """How many rows of logits were guided so far."""
        return self._guided().readings.guided_rows

    def _guided(self) -> "Guided":
        model = self.model_runner.get_model()
        return model.unwrap() if hasattr(model, "unwrap") else model  # graphs and compilation wrap it
