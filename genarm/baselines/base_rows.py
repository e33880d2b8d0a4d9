"""Rows of text that the base reads as they grow, each at its own pace, and that may go back.

    rows = BaseRows(engine)
    rows.join({"request 0": prompt})              all but the last token is read
    rows.feed({"request 0": [prompt[-1]]})        {"request 0": logits after it}
    rows.rewind({"request 0": len(prompt)})       what was read after that is unread
    rows.leave(["request 0"])

Rows join and leave at any time, and no row's logits depend on the others.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from genarm.decoding.engine.engine import Engine
from genarm.decoding.runner.ensemble import Ensemble, Part, Reader, assemble

SLACK = 128  # columns of the cache beyond those in use, so that it is moved rarely
NOBODY: frozenset[Reader] = frozenset()


class BaseRows:
    """Texts by name, each with its part of one cache of the base. What is read counts in the engine."""

    def __init__(self, engine: Engine) -> None:
        base = next(part for part in engine.parts if part.base)
        self.parts = [Part(base.trunk, base=True)]
        self.names: list[str] = []
        self._ensemble: Ensemble | None = None

    @torch.inference_mode()
    def join(self, prompts: Mapping[str, Sequence[int]]) -> None:
        """Read all but the last token of new texts."""
        heads = [list(prompt[:-1]) for prompt in prompts.values()]
        arrivals = Ensemble(self.parts, [NOBODY] * len(heads), max(1, *map(len, heads)))
        arrivals.prefill(heads)
        self._arrange(self.names, (arrivals, list(range(len(heads)))))
        self.names.extend(prompts)

    def leave(self, names: Iterable[str]) -> None:
        """Forget these texts."""
        gone = set(names)
        self._arrange([name for name in self.names if name not in gone])

    @torch.inference_mode()
    def feed(self, tokens: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
        """Read the next tokens of these texts, at least one each: the logits [v] after the last of them."""
        if not tokens:
            return {}
        widest = max(map(len, tokens.values()))
        ensemble = self._with_room(widest)
        ids = np.zeros((len(self.names), widest), dtype=np.int64)
        counts = np.zeros(len(self.names), dtype=np.int64)
        for i, name in enumerate(self.names):
            if name in tokens:
                ids[i, widest - len(tokens[name]) :], counts[i] = tokens[name], len(tokens[name])
        logits = ensemble.feed(torch.from_numpy(ids), self.parts, counts=counts)
        assert logits.base is not None
        newest = logits.base[:, -1].float().clone()  # a recorded step overwrites it
        return {name: newest[i] for i, name in enumerate(self.names) if name in tokens}

    def rewind(self, lengths: Mapping[str, int]) -> None:
        """Let these texts be so many tokens long; what was read after them is unread."""
        if not lengths or self._ensemble is None:
            return
        batch = self._ensemble.batches[0].batch
        kept = np.array([lengths.get(name, batch.lengths[i]) for i, name in enumerate(self.names)])
        after = batch.positions >= torch.from_numpy(kept).to(batch.positions.device)[:, None]
        batch.positions.masked_fill_(after, -1)
        batch.lengths, batch.holes = kept, True

    def _with_room(self, columns: int) -> Ensemble:
        if self._ensemble is None or not self._ensemble.fits(columns):
            self._arrange(self.names, room=columns + SLACK)
        assert self._ensemble is not None, "join() comes first"
        return self._ensemble

    def _arrange(
        self,
        kept: Sequence[str],
        arrivals: tuple[Ensemble, list[int]] | None = None,
        *,
        room: int = SLACK,
    ) -> None:
        """Move these rows, and after them the arrivals, to the left end of a new cache."""
        index = {name: i for i, name in enumerate(self.names)}
        held = [] if self._ensemble is None else [(self._ensemble, [index[name] for name in kept])]
        sources = [source for source in (*held, *([arrivals] if arrivals else [])) if source[1]]
        total = sum(len(rows) for _, rows in sources)
        self.names = list(kept)
        self._ensemble = None
        if total:
            widest = max(ensemble.width for ensemble, _ in sources)
            self._ensemble = assemble(self.parts, sources, [NOBODY] * total, widest + room)
