"""How a lack of memory is recognised, whichever library runs out of it."""

import torch

# torch raises a plain RuntimeError where the CPU's memory runs out, so its text is all there is.
CPU_ALLOCATOR = "can't allocate memory"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this error says that the memory of a GPU or of the CPU ran out."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and CPU_ALLOCATOR in str(error)
    )
