"""The zoo: architectures of other libraries, judged one by one. `python -m tests.zoo` runs it.

Not part of the gate: no file here is called `test_...`, and it runs in an environment of its own, which
`make zoo` builds.
"""

from tests.zoo import torchvision_operators as torchvision_operators  # before anything imports torchvision
