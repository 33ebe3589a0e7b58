"""The engine without a service: `echo 3 | python -m benchmarks.servers.engine_alone CHECKPOINT`.

For each number of seconds that it reads it works so long, and prints how many requests a second that made.
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


def main() -> None:
    """Work for as long as each line says."""
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
    for line in sys.stdin:
        done, began_s, seconds = 0, time.perf_counter(), float(line)
        while time.perf_counter() - began_s < seconds:
            results = [
                r for i in range(0, len(cells), blocks.rows) for r in blocks.run(cells[i : i + blocks.rows])
            ]
            blocks.assemble([results[0::2], results[1::2]], wanted)
            done += together
        print(done / (time.perf_counter() - began_s), flush=True)


if __name__ == "__main__":
    main()
