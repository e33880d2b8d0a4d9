"""The errors that a user meets. Each names what is wrong, both values where two disagree, and a way out."""


class GenarmError(Exception):
    """Root of all errors that genarm raises on purpose.

    `hint` says what to do next; `retryable` says whether the same call may succeed later by itself.
    """

    retryable = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; hint: {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (type(self), self.message, self.hint)


def _restore(kind: type[GenarmError], message: str, hint: str) -> GenarmError:
    return kind(message, hint=hint)


class ConfigError(GenarmError):
    """A parameter that is unknown, missing or out of range."""


class DataError(GenarmError):
    """Preference data that cannot be used as it is."""


class ModelError(GenarmError):
    """A model that cannot be found, read or used."""


class TokenizerMismatch(ModelError):
    """Two models that must share a tokenizer do not."""


class AdapterError(ModelError):
    """An adapter folder that is incomplete, altered or made for another base model."""


class RequestError(GenarmError):
    """A guided request that cannot be served: prompt too long, negative weight, unknown ARM."""


class TrainingError(GenarmError):
    """Training that cannot continue, for example after a loss that is not finite."""


class JudgeError(GenarmError):
    """A judge or scorer that cannot be loaded or did not answer."""


class RegistryError(GenarmError):
    """The model registry refuses, or its content is not what was expected."""


class StaleDecision(RegistryError):
    """The champion moved after the decision was computed."""


class PipelineError(GenarmError):
    """A DVC stage or a flow that failed."""


class Unreachable(GenarmError):
    """A server that does not answer at the moment."""

    retryable = True


class Busy(GenarmError):
    """Another run holds the lock."""

    retryable = True
