"""The names of a hub model's tensors before its weights are fetched: a file begins with them."""

from pathlib import Path

from genarm.errors import ModelError, Unreachable
from genarm.models.model_files import one_line
from genarm.models.weights import INDEX, SINGLE, indexed_names, tensor_names


def hub_tensors(name: str, revision: str | None, folder: Path) -> set[str]:
    """The names by the index or, of a single file, by its header: in `folder` if it is cached, or on the hub.

    `folder` has the model's small files. Raises ModelError where there are no safetensors, Unreachable where
    the hub does not answer.
    """
    if (folder / INDEX).is_file():
        return indexed_names(folder / INDEX)
    if (folder / SINGLE).is_file():
        return tensor_names(folder)
    from huggingface_hub import HfApi
    from huggingface_hub.errors import EntryNotFoundError, SafetensorsParsingError

    try:
        return set(HfApi().parse_safetensors_file_metadata(name, SINGLE, revision=revision).tensors)
    except EntryNotFoundError:
        raise ModelError(
            f"{name} has neither {SINGLE} nor {INDEX} on the hub",
            hint="take a model with safetensors; pickled weights (.bin, .pt) are not loaded",
        ) from None
    except SafetensorsParsingError as error:
        raise ModelError(
            f"{name}: {SINGLE} is damaged: {one_line(error)}", hint="take another revision"
        ) from None
    except Exception as error:  # of whichever client the hub's library uses
        raise Unreachable(
            f"the weights of {name!r} are not in the local cache and the hub does not answer",
            hint=f"get online once: hf download {name}",
        ) from error
