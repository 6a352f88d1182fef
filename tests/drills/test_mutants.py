"""The tests notice when a promise is broken: each mutant of the package makes one fail."""

import pytest

from tests.drills.conftest import Figures
from tests.drills.mutants import MUTANTS, Fate, Mutant, fate_of


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_test_fails_for(mutant: Mutant, figures: Figures) -> None:
    assert fate_of(mutant, mutant.tests[:1]) is Fate.KILLED
    figures(mutants=1, survived=0)
