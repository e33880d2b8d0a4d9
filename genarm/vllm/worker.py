"""What a server asks of every worker of an engine, by `collective_rpc`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from genarm.errors import AdapterError
from genarm.vllm.telling import TellingSampler

if TYPE_CHECKING:
    from genarm.vllm.models import Guided


class GuidedWorker:
    """Methods that vLLM adds to its worker."""

    model_runner: Any

    def swap_arm(self, name: str, folder: str) -> tuple[str, str]:
        """Replace an ARM in place: `done`; `refused` and why, with nothing changed; or `failed` and why.

        Nothing is raised: with several workers vLLM would read the answers of the others as those of the next
        call.
        """
        try:
            self._guided().load_arm(name, Path(folder))
        except AdapterError as error:
            return "refused", str(error)
        except Exception as error:
            return "failed", f"{type(error).__name__}: {error}"
        return "done", ""

    def tell_rewards(self) -> tuple[str, ...]:
        """Tell from now on the rewards of requests that ask; the ARMs, in the order of their rewards."""
        runner, readings = self.model_runner, self._guided().readings
        if not isinstance(runner.sampler, TellingSampler):
            runner.sampler = TellingSampler(runner.sampler, readings)
        return readings.names

    def guided_rows(self) -> int:
        """How many rows of logits were guided so far."""
        return self._guided().readings.guided_rows

    def _guided(self) -> "Guided":
        model = self.model_runner.get_model()
        return model.unwrap() if hasattr(model, "unwrap") else model  # graphs and compilation wrap it
