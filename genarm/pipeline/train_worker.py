"""What each process of a training in several runs, started by `genarm.training.launch`."""

import os
import sys
from pathlib import Path

from genarm.errors import GenarmError
from genarm.system import env
from genarm.training import launch


def main() -> None:
    """Train as one of several; an expected error is left for the process that started all."""
    root = env.project_root()
    env.prepare(root)
    launch.report_process_id()
    from genarm.pipeline import stages

    try:
        stages.train_here(Path(root), sys.argv[1])
    except GenarmError as error:
        launch.report_failure(error)
        # No clean-up: it would wait for processes that wait for this one.
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    main()
