"""What every compared method is: a decoder that counts the tokens that went through each model."""

from collections.abc import Mapping
from typing import Protocol

from genarm.decoding import GuidedDecoder


class Method(GuidedDecoder, Protocol):
    """A way of answering a `GuidedRequest`, which counts what it reads.

    The same request gives the same tokens in any batch and any order, as of every decoder.
    """

    @property
    def passes(self) -> Mapping[str, int]:
        """Tokens that went through each model since it was loaded, by the model's part in the method.

        The parts are `base`, `arm`, `reward` and `aligned`; prompts count as well. A token counts once for
        each row that read it, whether or not the rows shared a batch.
        """
