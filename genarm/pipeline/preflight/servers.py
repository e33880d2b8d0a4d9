"""Whether the guided servers of `respond.engine` answer, and have this project's base."""

import asyncio

from genarm.config.engine import EngineConfig
from genarm.errors import GenarmError
from genarm.pipeline.answering.identity import identity
from genarm.pipeline.check_result import CheckResult, fail, warn
from genarm.pipeline.project import Project

NAME = "servers"
START = "start it there: genarm serve --trial; or correct respond.engine.server in params.yaml"


def servers(project: Project) -> list[CheckResult]:
    """Check them; nothing where the stages answer by themselves. Versions are checked once there are any.

    One of several that is away is a warning: the others answer, and it may be back by then.
    """
    engine = project.params.respond.engine
    return asyncio.run(_all_of_them(engine, identity(project))) if engine else []


async def _all_of_them(engine: EngineConfig, base: dict[str, str]) -> list[CheckResult]:
    found = await asyncio.gather(*(_examined(url, engine, base) for url in engine.server))
    results = [result for result in found if result]
    if len(results) == len(engine.server):
        return [fail(r.check, r.detail, r.fix) for r in results]
    return results


async def _examined(url: str, engine: EngineConfig, base: dict[str, str]) -> CheckResult | None:
    # Loaded here: most projects have no servers, and their checks are to be quick.
    from genarm.pipeline.answering.failures import Passing
    from genarm.pipeline.answering.listing import Wanted, check_identity
    from genarm.pipeline.answering.replica import Replica

    try:
        async with Replica(url, engine, Wanted(base)) as replica:
            check_identity(await replica.listing(), base, url)
    except Passing as failure:
        return warn(NAME, f"{url}: {failure}", START)
    except GenarmError as error:
        return fail(NAME, error.message, error.hint)
    return None
