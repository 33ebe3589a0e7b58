"""What the command loads before it serves: torch takes seconds, and a wrong setting is told at once."""

import json
import subprocess
import sys

HEAVY = ["matplotlib", "pandas", "pyarrow", "scipy", "sklearn", "torch"]
PROGRAM = f"""
import json, sys
import mcdrop_service.command
from mcdrop_service import execution
before = [name for name in {HEAVY} if name in sys.modules]
execution.loading
print(json.dumps([before, [name for name in {HEAVY} if name in sys.modules]]))
"""


def test_torch_is_loaded_with_the_first_model_and_nothing_else_that_is_slow() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[], ["torch"]]
