"""Judges by name: a built-in scorer, or a class or function of one's own as 'package.module:Name'.

| what it is | how it is called |
|---|---|
| a function of the text | `f(text, **options)` |
| a function whose first parameter is called `prompt` | `f(prompt, text, **options)` |
| a class with `score` | `Class(**options).score(prompt, text)`; higher is better |
| a class with `score_all` | the same for all prompts and texts in one call |
| a class with `compare` | `Class(**options).compare(prompt, left, right)`, the contract of `Judge` |
"""

import functools
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genarm.config import JudgeConfig, nearest
from genarm.config.judge import LlmJudgeConfig
from genarm.errors import JudgeError
from genarm.judges.base import BatchScorer, Judge, PromptScorer, ScoreJudge, Scorer, by_text
from genarm.judges.blame import in_one_line
from genarm.judges.identity import scorer_identity
from genarm.judges.named import find
from genarm.judges.own_code import OwnCode
from genarm.judges.scorers import SCORERS

METHODS = {"compare": 3, "score": 2, "score_all": 2}  # of a class, with the number of their arguments


@dataclass(frozen=True)
class LoadedJudge:
    """A judge with what its verdicts depend on.

    `version` is what the class calls its version or, without that, the version of the package that it was
    installed with, if it is neither built in nor of the project. `package` is the name of that package.
    """

    judge: Judge
    config: JudgeConfig
    version: str | None = None
    package: str | None = None
    code: OwnCode | None = None  # of the project
    model: str | None = None  # who judges, where that is a model: its name and version
    own_files: tuple[Path, ...] = ()  # of the project, which the judge reads: its template

    @property
    def files(self) -> list[Path]:
        """The files of the project that the verdicts depend on, as far as they were loaded."""
        return [*self.own_files, *(self.code.files if self.code else [])]

    @property
    def identity(self) -> str:
        """Who judges and in which version, as a report shows it."""
        return self.model or scorer_identity(
            self.config, version=self.version, package=self.package, files=self.files
        )


def load_judge(config: JudgeConfig, root: Path | None = None) -> Judge:
    """The judge of one dimension, in the project at `root`. Raises JudgeError as `load_with_origin` does."""
    return load_with_origin(config, root).judge


def load_with_origin(config: JudgeConfig, root: Path | None = None) -> LoadedJudge:
    """The same with what its verdicts depend on.

    Raises JudgeError where the name leads nowhere, options are not those of the class or function, or its
    module or constructor fails. A language model is asked once, which costs a few tokens.
    """
    if config.llm is not None:
        return _language_model(config, config.llm, root)
    if config.reward_model is not None or config.trained is not None:
        from genarm.judges.reward.load import reward_model_judge, trained_judge

        found = (reward_model_judge if config.reward_model else trained_judge)(config, root)
        return LoadedJudge(found.judge, config, model=found.identity)
    if ":" not in config.name:
        return LoadedJudge(ScoreJudge(by_text(load_scorer(config)), config.tie), config)
    named = find(config.name, root)
    inside = named.code.importable if named.code else nullcontext
    if inspect.isclass(named.called):
        judge = _of_methods(config, _construct(config, named.called, inside), inside)
    else:
        judge = ScoreJudge(_of_function(config, named.called, inside), config.tie)
    return LoadedJudge(judge, config, named.version, named.package, named.code)


def _language_model(config: JudgeConfig, llm: LlmJudgeConfig, root: Path | None) -> LoadedJudge:
    from genarm.judges.llm.judge import load_llm_judge  # needs the extra judges
    from genarm.judges.llm.prompt import own_template

    judge, template = load_llm_judge(llm, root), own_template(llm, root)
    return LoadedJudge(judge, config, model=judge.identity, own_files=(template,) if template else ())


def load_scorer(config: JudgeConfig) -> Scorer:
    """A built-in scorer by name, with its options filled in. Raises JudgeError as `load_judge` does."""
    score = SCORERS.get(config.name)
    if score is None:
        raise JudgeError(
            f"unknown scorer {config.name!r}{nearest(config.name, SCORERS)}",
            hint=f"scorers: {', '.join(SCORERS)}, or one of your own: 'package.module:Name'",
        )
    _check_options(config, score, ["text"])
    return functools.partial(score, **config.options)


Inside = Callable[[], AbstractContextManager[None]]


def _construct(config: JudgeConfig, kind: type, inside: Inside) -> object:
    _check_options(config, kind, [])
    try:
        with inside():
            return kind(**config.options)
    except Exception as error:  # a user's constructor may raise anything
        raise JudgeError(
            f"judge {config.name!r} cannot be made {_with_options(config)}: {in_one_line(error)}",
            hint="its constructor takes the options of params.yaml",
        ) from error


def _of_methods(config: JudgeConfig, made: object, inside: Inside) -> Judge:
    methods = {name: m for name in METHODS if callable(m := getattr(made, name, None))}
    if not methods:
        raise JudgeError(
            f"judge {config.name!r} has neither score nor compare",
            hint="a class has a method score(prompt, response), which returns a number",
        )
    for name, method in methods.items():
        _check_arguments(config, name, method)
    if "compare" in methods:
        if config.tie:
            raise JudgeError(
                f"judge {config.name!r} compares by itself, and tie = {config.tie:g} is for scores",
                hint="remove tie: its method compare returns 0 for a tie",
            )
        return _Within(made, inside)
    methods = {name: _entered(method, inside) for name, method in methods.items()}
    score_all = methods.get("score_all")
    score = methods.get("score") or _one_of(methods["score_all"])
    return ScoreJudge(score, config.tie, score_all)


def _one_of(score_all: BatchScorer) -> PromptScorer:
    """A scorer of many responses as one of a single response."""
    return lambda prompt, text: score_all([prompt], [text])[0]


def _of_function(config: JudgeConfig, function: Callable[..., float], inside: Inside) -> Any:
    """A function of prompt and text, with its options filled in."""
    try:
        first = next(iter(inspect.signature(function).parameters), "")
    except ValueError:
        first = ""
    sees_prompt = first == "prompt"
    _check_options(config, function, ["prompt", "text"] if sees_prompt else ["text"])
    filled = functools.partial(_entered(function, inside), **config.options)
    return filled if sees_prompt else by_text(filled)


def _entered(function: Callable[..., Any], inside: Inside) -> Callable[..., Any]:
    """The same function, which finds the modules of its project when it is called."""

    def call(*arguments: Any, **options: Any) -> Any:
        with inside():
            return function(*arguments, **options)

    return call


class _Within:
    """A judge of one's own that compares by itself, which finds the modules of its project."""

    def __init__(self, made: Any, inside: Inside) -> None:
        self.compare = _entered(made.compare, inside)
        if callable(getattr(made, "prepare", None)):
            self.prepare = _entered(made.prepare, inside)


def _check_arguments(config: JudgeConfig, name: str, method: Callable[..., Any]) -> None:
    wanted = {
        "compare": "prompt, left, right",
        "score": "prompt, response",
        "score_all": "prompts, responses",
    }
    try:
        inspect.signature(method).bind(*range(METHODS[name]))
    except ValueError:
        return  # some functions written in C have no signature to read
    except TypeError as error:
        raise JudgeError(
            f"judge {config.name!r}: {name}{inspect.signature(method)} cannot be called: {error}",
            hint=f"write it as {name}(self, {wanted[name]})",
        ) from None


def _with_options(config: JudgeConfig) -> str:
    """The options by name: a value may be the key of somebody's server, and errors go to logs."""
    return f"with the options {', '.join(config.options)}" if config.options else "without options"


def _check_options(config: JudgeConfig, called: Callable[..., Any], given: list[str]) -> None:
    """Raise JudgeError where options are not those of a class or function; `given` comes before them."""
    try:
        signature = inspect.signature(called)
    except ValueError:
        return  # some functions written in C have no signature to read
    try:
        signature.bind(*given, **config.options)
    except TypeError as error:
        known = list(signature.parameters)[len(given) :]
        unknown = [name for name in config.options if name not in known]
        close = nearest(unknown[0], known) if unknown else ""
        takes = [f"the {name}" for name in given] + (known or ["no options"])
        raise JudgeError(
            f"judge {config.name!r} {_with_options(config)}: {error}{close}",
            hint=f"it takes {' and '.join(filter(None, [', '.join(takes[:-1]), takes[-1]]))}",
        ) from None
