"""What a row's answers depend on: a method's `code` names all of the rivals' code that it runs."""

import grimp
import pytest

from genarm.experiments.methods import METHODS
from genarm.pipeline.kept import PACKAGE, _files


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph("genarm", exclude_type_checking_imports=True, cache_dir=None)


@pytest.mark.parametrize("name", METHODS)
def test_a_change_of_what_a_method_runs_makes_its_answers_anew(name, graph):
    listed = {
        "genarm." + ".".join(f.relative_to(PACKAGE).with_suffix("").parts) for f in _files(METHODS[name].code)
    }
    own = {module for module in listed if module.startswith("genarm.baselines.")} & graph.modules
    runs = set().union(*(graph.find_upstream_modules(module) for module in own))
    rivals = {module for module in runs if module.startswith(("genarm.baselines.", "genarm.judges.reward"))}
    packages = {module for module in rivals if (PACKAGE.parent / module.replace(".", "/")).is_dir()}
    assert rivals - packages - {"genarm.baselines.method"} <= listed
