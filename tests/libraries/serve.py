"""`mcdrop`, with torchvision's operators declared first: `python -m tests.libraries.serve serve DIR ...`."""

import sys

from mcdrop.cli.app import main
from tests.zoo import torchvision_operators  # noqa: F401  before timm and transformers import torchvision

if __name__ == "__main__":
    main(sys.argv[1:])
