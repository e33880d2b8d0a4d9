"""What a step drew, written into the slots; and how a request ends."""

from typing import Literal

import numpy as np

from genarm.decoding.engine.policy import StepOutput
from genarm.decoding.engine.request_state import RequestState
from genarm.decoding.engine.slots import Slots
from genarm.decoding.engine.stop import StopCriteria
from genarm.decoding.request import GuidedResponse
from genarm.decoding.runner.ensemble import Ensemble
from genarm.errors import ModelError


def account(output: StepOutput, slots: Slots, ensemble: Ensemble, stop: StopCriteria) -> int:
    """Take up what was drawn, token by token of all slots at once, and end the requests that are done.

    Returns how many tokens the requests got.
    """
    every_slot, total = np.arange(len(slots)), 0
    for column in range(output.tokens.shape[1]):
        active = slots.live & (output.counts > column)
        if not active.any():
            break
        drew, token = every_slot[active], output.tokens[active, column]
        slots.tokens[drew, slots.count[drew]] = token
        slots.next[drew] = token
        slots.count[drew] += 1
        slots.base_logprob[drew] += output.base_logprob[active, column]
        # 0 where nothing guides, without rounding.
        slots.kl[drew] += np.where(slots.guided[drew], output.kl[active, column], 0)
        total += len(drew)
        failed = ~np.isfinite(slots.base_logprob[drew] + slots.kl[drew])
        ended = np.isin(token, stop.end_tokens) & ~slots.ignore_eos[drew]
        over = ended | failed | (slots.count[drew] == slots.limit[drew])
        texts = slots.stopped(active, stop)
        per_token = [(i, s) for i in slots.per_token if active[i] and (s := slots.states[i]) is not None]
        for slot, state in per_token:
            if (slot, column) in output.rewards:
                state.rewards.append(output.rewards[slot, column])
        for slot in {*drew[over].tolist(), *texts}:
            k = int(np.searchsorted(drew, slot))
            if failed[k]:
                fail(slot, slots, ensemble)
            else:
                reason: Literal["stop", "length"] = "stop" if ended[k] or slot in texts else "length"
                end(slot, reason, slots, ensemble, stop, text=texts.get(slot), end_token=bool(ended[k]))
        for slot, state in per_token:
            state.stream(int(output.tokens[slot, column]))
    # A free slot reads on until it is taken; what it writes must be finite, or a mask could not hide it.
    strange = ~slots.live & ~np.isfinite(output.base_logprob + output.kl).all(-1)
    if strange.any():
        ensemble.release(np.flatnonzero(strange).tolist(), wipe=True)
    return total


def end(
    slot: int,
    reason: Literal["stop", "length", "cancelled"],
    slots: Slots,
    ensemble: Ensemble,
    stop: StopCriteria,
    *,
    text: str | None = None,
    end_token: bool = False,
) -> None:
    """Give the request in this slot its response, and free the slot.

    `text` is given where a stop string cut it; `end_token` says whether the last token is one.
    """
    state, tokens = slots.states[slot], slots.drawn(slot)
    assert state is not None
    if text is None:
        text = stop.text(tokens[:-1] if end_token else tokens)
    if reason == "cancelled" and state.text is not None:
        text = text[: state.text.emitted]  # what was held back will not be streamed any more
    kl = float(slots.kl[slot]) / max(len(tokens), 1)
    state.response = GuidedResponse(
        tuple(tokens), text, reason, float(slots.base_logprob[slot]), kl, tuple(state.rewards)
    )
    slots.free(slot)
    ensemble.release([slot])


def fail(slot: int, slots: Slots, ensemble: Ensemble) -> None:
    """Give the request in this slot its error, free the slot, and zero what it wrote to the cache."""
    state = slots.states[slot]
    assert state is not None
    of_base = not np.isfinite(slots.base_logprob[slot])
    read = [(p, r) for p in ensemble.parts for r in p.readers if r in state.used and not p.is_base(r)]
    arms = ", ".join(sorted({str(reader) for _, reader in read}))
    trunk = next(p for p in ensemble.parts if p.base).trunk if of_base else read[0][0].trunk
    why, way_out = trunk.fault
    state.error = ModelError(
        f"request {state.number}: the model's scores are not finite after {slots.count[slot]} tokens: "
        f"the logits of {'the base' if of_base else f'ARM {arms}'} are not numbers in "
        f"{str(trunk.dtype).removeprefix('torch.')}: {why}",
        hint=way_out,
    )
    ensemble.release([slot], wipe=True)
    slots.free(slot)


def cancel_waiting(state: RequestState, stop: StopCriteria) -> None:
    """Give a request without a slot its response; one that lost its slot has tokens and streamed text."""
    emitted = 0 if state.text is None else state.text.emitted
    state.response = GuidedResponse(
        tuple(state.tokens),
        stop.text(state.tokens)[:emitted],
        "cancelled",
        state.base_logprob,
        state.kl / max(len(state.tokens), 1),
        tuple(state.rewards),
    )
