"""From the results of units to answers: the library's own reduction, for many requests at once.

Requests that want the same of their samples are reduced together. Those that want samples, quantiles or the
pass without dropout are reduced apart, in tiles of R rows as in the library: the bits of that pass can depend
on the shape of a tensor, and each tile is a piece, between which others have their turn. So are those with a
tolerance, whose rows stop one by one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final

import numpy as np
import torch
from torch import Tensor

import mcdrop
from mcdrop.prediction import Wanted
from mcdrop.predictive import Predictive, Sampled
from mcdrop.predictive.archive import as_array
from mcdrop.predictive.calibrated import promised_levels, void_notes
from mcdrop.predictive.predictive import spread_notes
from mcdrop.stopping import Stopping
from mcdrop_service.execution.preparation import Preparation, Prepared
from mcdrop_service.execution.servable import Lane, Task
from mcdrop_service.facts import SAMPLES, Array, PredictionAnswer, PredictionRequest
from mcdrop_service.scheduler import More, Pieces, Ripe

__all__ = ["Answering"]

# what is kept whole, and sets, whose draws are by the row's place in its own request
APART: Final = SAMPLES | {"deterministic", "prediction_set"}
SPREAD: Final = "sample_std"
MOST_WANTS: Final = 64


class Answering:
    """Answers requests to one model.

    Args:
        mc: The model.
        preparation: Its requests.

    Attributes:
        promises_quantiles: Whether calibrators want quantiles of every request.
    """

    def __init__(self, mc: mcdrop.MCDropout, preparation: Preparation) -> None:
        self._mc = mc
        self._preparation = preparation
        self.promises_quantiles = bool(promised_levels(mc.calibrators, ()))
        self._known_wants = lru_cache(maxsize=MOST_WANTS)(mc.wanted)

    def answers(self, ripe: Sequence[Ripe]) -> list[PredictionAnswer | More | Pieces]:
        """For each request its answer, or the pieces in which it is made, or the blocks that it still wants.

        Args:
            ripe: Of one signature; their payloads are tasks.
        """
        if len(ripe) == 1 and not self._is_apart(ripe[0].payload.request):
            return list(self._together(ripe))
        found: dict[int, PredictionAnswer | More | Pieces] = {}
        companies: dict[int, list[int]] = {}
        for index, its in enumerate(ripe):
            if self._is_apart(its.payload.request):
                found[index] = self._alone(its)
            else:
                companies.setdefault(its.payload.request.n_samples, []).append(index)
        for members in companies.values():
            found |= zip(members, self._together([ripe[index] for index in members]), strict=True)
        return [found[index] for index in range(len(ripe))]

    def _is_apart(self, request: PredictionRequest) -> bool:
        """Whether it is reduced without others."""
        if request.tolerance is not None or not APART.isdisjoint(request.outputs):
            return True
        return self.promises_quantiles or bool(request.quantiles)

    def _together(self, ripe: Sequence[Ripe]) -> list[PredictionAnswer]:
        """Of requests with the same number of samples."""
        tasks = [its.payload for its in ripe]
        blocks, wanted = self._preparation.of(tasks[0]).blocks, self._wanted(tasks[0].request)
        names = dict.fromkeys([SPREAD, *[name for task in tasks for name in task.request.outputs]])
        with blocks.plan.network.inference():  # each of the many small operations is cheaper
            arrays = blocks.outputs(_by_block(ripe), wanted, names)
        return self._split(tasks, arrays, wanted.sampled)

    def _alone(self, its: Ripe) -> More | Pieces:
        """Of one request, in tiles as in the library; or row by row, if it has a tolerance."""
        task: Task = its.payload
        if task.request.tolerance is not None:
            return self._growing(its)
        request, prepared = task.request, self._preparation.of(task)
        results, wanted = _by_block([its]), self._wanted(request)
        tiles = list(_tiles(request.rows, prepared.blocks.rows))
        parts = (
            prepared.blocks.assemble(
                [block[rows] for block in results],
                wanted,
                deterministic=_deterministic(prepared, rows, request),
            )
            for rows in tiles
        )
        return _in_pieces(task, len(tiles), parts, lambda made: type(made[0]).concatenate(made))

    def _growing(self, its: Ripe) -> More | Pieces:
        """Of a request whose rows stop at a tolerance: the pieces of its answer when none goes on."""
        task: Task = its.payload
        prepared = self._preparation.of(task)
        before: Stopping | None = its.carried
        rows = task.request.rows if before is None else len(before.going)
        now = prepared.blocks.until(
            [its.results[start : start + rows] for start in range(0, len(its.results), rows)],
            self._wanted(task.request),
            before=before,
            deterministic=_deterministic_of_all(prepared, task.request) if before is None else None,
        )
        if len(now.going):
            return _more(now, task.request, task.lane)
        return _in_pieces(task, now.tile_count, now.tiles(), now.joined)

    def _split(
        self, tasks: Sequence[Task], arrays: Mapping[str, Array], sampled: Sampled
    ) -> list[PredictionAnswer]:
        """The answer to each request, from the outputs of all their rows."""
        spread = arrays[SPREAD]
        largest: list[float] = np.maximum.reduce(spread.reshape(len(spread), -1), 1).tolist()
        answers, first = [], 0
        for task in tasks:
            request = task.request
            rows = slice(first, first + request.rows)
            outputs = {name: arrays[name][rows] for name in request.outputs}
            notes = (*spread_notes(largest[rows]), *self._void(sampled, request))
            answers.append(_answer(task, outputs, notes, request.rows * request.n_samples))
            first = rows.stop
        return answers

    def _void(self, sampled: Sampled, request: PredictionRequest) -> tuple[str, ...]:
        """The note that calibrators are void, if they are; requests of a company differ in their seeds."""
        if not self._mc.calibrators:
            return ()
        return void_notes(self._mc.calibrators, replace(sampled, seed=request.seed))

    def _wanted(self, request: PredictionRequest) -> Wanted:
        """What the predictive of a request holds, with what the calibrators need."""
        return self._known_wants(
            request.n_samples,
            request.seed,
            tolerance=request.tolerance,
            quantiles=promised_levels(self._mc.calibrators, request.quantiles),
            keep_samples=not SAMPLES.isdisjoint(request.outputs),
        )


def _by_block(ripe: Sequence[Ripe]) -> list[list[Tensor]]:
    """For each block the results of the rows of all requests, one request after the other."""
    pairs = [(its.payload.request.rows, its.results) for its in ripe]
    blocks = len(pairs[0][1]) // pairs[0][0]
    return [
        [result for rows, its in pairs for result in its[block * rows : (block + 1) * rows]]
        for block in range(blocks)
    ]


def _more(now: Stopping, request: PredictionRequest, lane: Lane) -> More:
    """Another block for the rows that go on; more where a batch has room, but no more than there were before.

    What a row turns out not to need is dropped.
    """
    rows = tuple(now.going.tolist())
    ahead = min(lane.capacity // len(rows), now.blocks) if lane.mixes else 1
    return More(rows, min(max(ahead, 1), request.blocks - now.blocks), now)


def _tiles(rows: int, most: int) -> Iterator[slice]:
    for start in range(0, rows, most):
        yield slice(start, min(start + most, rows))


def _deterministic(prepared: Prepared, rows: slice, request: PredictionRequest) -> Tensor | None:
    """(R, ...) raw outputs of the pass without dropout, if anyone asked."""
    if "deterministic" not in request.outputs:
        return None
    return prepared.blocks.deterministic(prepared.call.take(rows))


def _deterministic_of_all(prepared: Prepared, request: PredictionRequest) -> Tensor | None:
    """(N, ...) the same for all rows, tile by tile."""
    tiles = [
        (rows, _deterministic(prepared, rows, request)) for rows in _tiles(request.rows, prepared.blocks.rows)
    ]
    found = [tile[: rows.stop - rows.start] for rows, tile in tiles if tile is not None]
    return torch.cat(found) if found else None


def _in_pieces(
    task: Task, count: int, parts: Iterable[Predictive], joined: Callable[[list[Predictive]], Predictive]
) -> Pieces:
    """A tile is a piece: many quantiles of one take long."""

    def work() -> Iterator[PredictionAnswer | None]:
        made: list[Predictive] = []
        for part in parts:
            made.append(part)
            if len(made) < count:
                yield None
        yield _whole(task, joined(made))

    return Pieces(count, work())


def _whole(task: Task, predictive: Predictive) -> PredictionAnswer:
    """The answer to the only request that a predictive is of."""
    request = task.request
    outputs = _outputs(predictive, request.outputs)
    if request.quantiles:
        outputs["quantiles"] = as_array(predictive.quantile(request.quantiles))
    taken = predictive.taken
    passes = request.rows * request.n_samples if taken is None else int(taken.sum())
    return _answer(task, outputs, predictive.notes, passes)


def _outputs(predictive: Predictive, names: Iterable[str]) -> dict[str, Array]:
    """Some outputs, by name."""
    return {name: as_array(getattr(predictive, name)) for name in names}


def _answer(
    task: Task, outputs: Mapping[str, Array], notes: tuple[str, ...], passes: int
) -> PredictionAnswer:
    request = task.request
    return PredictionAnswer(
        facts=task.facts,
        n_samples=request.n_samples,
        seed=request.seed,
        outputs=outputs,
        notes=notes,
        tolerance=request.tolerance,
        passes=passes,
    )
