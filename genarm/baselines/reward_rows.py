"""Rows of text that a reward model scores as they grow: k continuations of each, with the text read once.

    rows = RewardRows(reward)
    rows.join({"request 0": prompt})
    rows.scores({"request 0": [segment, other_segment]})     {"request 0": [0.7, -0.2]}
    rows.keep({"request 0": (0, len(segment))})               the text is now prompt + segment
    rows.leave(["request 0"])

Rows join and leave at any time and no row's scores depend on the others.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch

from genarm.baselines.branches import Branches
from genarm.baselines.reward_model import RewardModel, prefill
from genarm.decoding.runner.batch import ModelBatch, gather
from genarm.errors import RequestError

SLACK = 64  # columns beyond those that are asked for, so that the cache is moved rarely


class RewardRows:
    """Texts by name, each with its part of one cache. `read` counts the tokens that the model read."""

    def __init__(self, reward: RewardModel) -> None:
        self.reward, self.read = reward, 0
        self.names: list[str] = []
        self._batch = self._empty(0, 0)
        self._branches: Branches | None = None

    @torch.inference_mode()
    def join(self, texts: Mapping[str, Sequence[int]]) -> None:
        """Read new texts, by a name each that errors tell; none may be empty."""
        if not texts:
            return
        for name, text in texts.items():
            self._check_length(name, len(text))
        arrivals = self._empty(len(texts), max(map(len, texts.values())))
        prefill(arrivals, list(texts.values()))
        self.read += sum(map(len, texts.values()))
        self._arrange(range(len(self.names)), arrivals)
        self.names.extend(texts)

    def leave(self, names: Iterable[str]) -> None:
        """Forget these texts."""
        gone = set(names)
        left = [i for i, name in enumerate(self.names) if name not in gone]
        self._arrange(left)
        self.names = [self.names[i] for i in left]

    @torch.inference_mode()
    def scores(
        self, continuations: Mapping[str, Sequence[Sequence[int]]], *, strict: bool = True
    ) -> dict[str, list[float]]:
        """The score of each text with each of its continuations, which stay until the next call.

        A continuation has at least one token; rows that are not named are not scored. Raises RequestError for
        a text that is too long for the model and, where `strict`, ModelError for a score that is no finite
        number; both name the row, and leave all rows as they were. A continuation whose score is none makes
        those beside it none, but no other row's.
        """
        self._drop()
        row = {name: i for i, name in enumerate(self.names)}
        k, ending = max(map(len, continuations.values()), default=0), list(self.reward.ending)
        read = {name: [[*c, *ending] for c in given] for name, given in continuations.items()}
        depth = max((len(c) for given in read.values() for c in given), default=0)
        if not depth:
            return {name: [] for name in continuations}
        ids = np.zeros((len(self.names), k, depth), dtype=np.int64)
        for name, given in read.items():
            for j, tokens in enumerate(given):
                self._check_length(name, int(self._batch.lengths[row[name]]) + len(tokens))
                ids[row[name], j, : len(tokens)] = tokens
                self.read += len(tokens)
        self._make_room(k * depth)
        self._branches = Branches(self._batch, k)
        labels = self._branches.read(torch.from_numpy(ids).to(self._batch.trunk.device))
        assert labels is not None
        values = self.reward.values(labels).cpu()  # [n, k, depth]
        found = {
            name: [float(values[row[name], j, len(tokens) - 1]) for j, tokens in enumerate(given)]
            for name, given in read.items()
        }
        for name, numbers in found.items() if strict else ():
            if not np.isfinite(numbers).all():
                self._drop()
                raise self.reward.fault(name)
        return found

    @torch.inference_mode()
    def keep(self, choices: Mapping[str, tuple[int, int]]) -> None:
        """Let texts go on with a continuation that was scored last: its index, and how many of its tokens.

        The other rows, and the other continuations, are as if they had not been scored.
        """
        assert self._branches is not None, "scores() comes first"
        branch = torch.zeros(len(self.names), dtype=torch.long)
        counts = np.zeros(len(self.names), dtype=np.int64)
        for i, name in enumerate(self.names):
            if name in choices:
                branch[i], counts[i] = choices[name]
        self._branches.keep(branch, counts)
        self._branches = None

    def _drop(self) -> None:
        if self._branches is not None:
            self._branches.drop()
            self._branches = None

    def _check_length(self, name: str, tokens: int) -> None:
        if tokens > self.reward.trunk.context:
            raise RequestError(
                f"{name}: {tokens} tokens are to be scored, and the reward model {self.reward.name} reads at "
                f"most {self.reward.trunk.context}",
                hint="shorten the prompt, lower max_new_tokens, or take a reward model of a longer context",
            )

    def _make_room(self, columns: int) -> None:
        if self._batch.cache.end + columns > self._batch.cache.capacity:
            self._arrange(range(len(self.names)), room=columns + SLACK)

    def _arrange(self, rows: Iterable[int], arrivals: ModelBatch | None = None, *, room: int = SLACK) -> None:
        """Move these rows, and after them the arrivals, to the left end of a new cache with some room."""
        self._drop()
        sources = [(self._batch, list(rows))]
        if arrivals is not None:
            sources.append((arrivals, list(range(arrivals.n))))
        total = sum(len(kept) for _, kept in sources)
        widest = max((batch.width for batch, kept in sources if kept), default=0)
        self._batch = self._empty(total, widest + room)
        gather(self._batch, sources)

    def _empty(self, rows: int, capacity: int) -> ModelBatch:
        return ModelBatch(self.reward.trunk, rows, {}, capacity, bare=True)
