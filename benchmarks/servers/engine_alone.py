"""The engine without a service, in requests a second: `python -m benchmarks.servers.engine_alone CHECKPOINT`.

Full blocks of R cells, run as the service runs them, each request one row and two blocks at the default seed,
and the answers' moments.
"""

import sys
import time
from typing import Final

import torch

import mcdrop
from mcdrop.blocks import Cell
from mcdrop.engine.masks import BlockKey

REQUEST: Final = 30
SECONDS: Final = 3.0


def main() -> None:
    """Run blocks for some seconds."""
    torch.set_num_threads(1)
    mc = mcdrop.load(sys.argv[1], allow=["benchmarks"])
    assert mc.manifest is not None
    shape = mc.manifest.inputs[0].shape
    rows = [mc.as_call(torch.rand(1, *shape)) for _ in range(16)]
    blocks = mc.exact_blocks(torch.rand(16, *shape)).with_small_blocks(mc.as_call(torch.rand(16, *shape)))
    blocks.rehearse(rows[0])
    together = max(blocks.rows // 2, 1)
    cells = [Cell(rows[i // 2], BlockKey(mc.seed, 0, i % 2)) for i in range(2 * together)]
    wanted = mc.wanted(REQUEST, mc.seed)
    done, began_s = 0, 0.0
    while not done or time.perf_counter() - began_s < SECONDS:
        began_s = began_s or time.perf_counter()
        results = [
            r for i in range(0, len(cells), blocks.rows) for r in blocks.run(cells[i : i + blocks.rows])
        ]
        blocks.assemble([results[0::2], results[1::2]], wanted)
        done += together
    print(done / (time.perf_counter() - began_s))


if __name__ == "__main__":
    main()
