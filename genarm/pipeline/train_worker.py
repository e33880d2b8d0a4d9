"""What each process of a training in several processes runs; `genarm.training.launch` starts it."""

import os
import sys

from genarm.errors import GenarmError
from genarm.pipeline.project import Project
from genarm.system import env
from genarm.training import launch


def main() -> None:
    """Train as one of several; an expected error is left for the process that started them all."""
    project = Project.find()
    env.prepare(project.root)
    launch.report_process_id()
    from genarm.pipeline.train_process import train_in_process

    try:
        train_in_process(project, sys.argv[1])
    except GenarmError as error:
        launch.report_failure(error)
        # No clean-up: it would wait for processes that wait for this one.
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    main()
