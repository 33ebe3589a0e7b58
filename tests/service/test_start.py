"""What is loaded, and when: torch takes a second, its compiler another, and so do scikit-learn and SciPy."""

import json
import subprocess
import sys

from tests.support.repository import ROOT

HEAVY = ["matplotlib", "pandas", "pyarrow", "scipy", "sklearn", "torch", "torch._dynamo"]
PROGRAM = f"""
import json, sys
import mcdrop, mcdrop_service.command, numpy
from mcdrop_service import execution
before = [name for name in {HEAVY} if name in sys.modules]
execution.loading
mcdrop.load("models/diabetes").predict(numpy.zeros((1, 10), "float32"))
print(json.dumps([before, [name for name in {HEAVY} if name in sys.modules]]))
"""


def test_torch_is_loaded_with_the_first_model_and_nothing_else_that_is_slow_even_to_predict() -> None:
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[], ["torch"]]
