"""Whether a judge can judge, found out cheaply: no model is loaded, at most one short answer asked for."""

from pathlib import Path

from genarm.config import JudgeConfig
from genarm.judges.load import load_with_origin


def check(config: JudgeConfig, root: Path | None = None) -> None:
    """Look for what a judge needs: its package, its key, its files, whether its server answers.

    Raises JudgeError with the first thing that lacks. A scorer is loaded, which is quick.
    """
    if config.llm is not None:
        from genarm.judges.llm.check import check_llm

        check_llm(config.llm, root)
    elif config.reward_model is not None:
        from genarm.judges.reward.load import check_reward_model

        check_reward_model(config.reward_model, root)
    elif config.trained is not None:
        from genarm.judges.reward.load import check_trained, trained_folder

        check_trained(config.trained, trained_folder(config.trained, root))
    elif config.scorer is not None:
        load_with_origin(config, root)


def own_files(config: JudgeConfig, root: Path | None = None) -> list[Path]:
    """The files of the project that the verdicts depend on, by full paths; a scorer is loaded for it."""
    if config.llm is not None:
        from genarm.judges.llm.prompt import own_template

        file = own_template(config.llm, root)
        return [file] if file else []
    if config.reward_model is not None:
        from genarm.judges.reward.load import own_folder

        folder = own_folder(config.reward_model, root)
        return sorted(file for file in folder.iterdir() if file.is_file()) if folder else []
    return load_with_origin(config, root).files if config.scorer is not None else []
