"""Where mixtures of Gaussians reach a probability: third-order steps between two ends that close in.

Each value is found from its own row and level alone, by steps whose rounding does not depend on where a
number stands in a tensor: samples are added in pairs, as torch's sums have other bits in other places.

Alphabet: S samples, R rows, Q levels, E values that are sought.
"""

import math
from typing import Final, NamedTuple

import torch
from torch import Tensor

__all__ = ["invert"]

_SOUGHT: Final = 2**16
"""Values that are sought together, so that the few that take long do so together."""
_HELD: Final = 2**20
"""Means that are looked at together: 8 MB of float64."""
_SUMMED: Final = 2**16
"""Numbers (S, E) that are added up together: half a MB, which stays in the cache."""
_CENTRAL: Final = 0.01
"""Levels from here to 1 minus this ask for erf; beyond, erfc has more digits and takes twice as long."""
_NEAR: Final = 1e-6
"""A step so short, in standard deviations of the narrowest sample, is the last: it leaves its cube."""
_FREE: Final = 8
"""After so many steps every second one halves the floats between the ends, so that 4 + 2 x 64 are enough."""
_EPS: Final = torch.finfo(torch.float64).eps
_ROOT_TWO: Final = math.sqrt(2)
_ROOT_TWO_PI: Final = math.sqrt(2 * math.pi)
_SIGN_BIT: Final = torch.iinfo(torch.int64).min


def invert(means: Tensor, std: Tensor, levels: Tensor) -> Tensor:
    """The smallest values whose probabilities reach the levels.

    Args:
        means: (S, R) mean of each sample.
        std: (S, R), or (1, R) if the samples share it; at least 0.
        levels: (Q,) in (0, 1).

    Returns:
        (Q, R) in units of the output.
    """
    values = means.new_empty((len(levels), means.shape[1]))
    rows = max(min(_SOUGHT // max(len(levels), 1), _HELD // len(means)), 1)
    central = (levels - 0.5).abs() <= 0.5 - _CENTRAL
    for far in (False, True):
        some = (central != far).nonzero().flatten()
        if len(some):
            tiles = zip(means.split(rows, 1), std.split(rows, 1), strict=True)
            values[some] = torch.cat([_quantiles(_Law(*tile, far), levels[some]) for tile in tiles], 1)
    return values


class _Law(NamedTuple):
    """The mixtures of R rows.

    Attributes:
        means: (S, R).
        std: (S, R) or (1, R).
        far: Whether the levels are far from 1/2.
    """

    means: Tensor
    std: Tensor
    far: bool


class _Search(NamedTuple):
    """Values that are sought, each between two ends of which only the upper one reaches its level.

    Attributes:
        where: (E,) the value to look at next.
        low: (E,) lower end.
        high: (E,) upper end.
        row: (E,) whose law.
        unit: (E,) the least standard deviation of its samples.
        level: (E,) the probability of the side that has less.
        side: (E,) which that is: 1 below, -1 above.
        score: (E,) the value for a standard Gaussian.
    """

    where: Tensor
    low: Tensor
    high: Tensor
    row: Tensor
    unit: Tensor
    level: Tensor
    side: Tensor
    score: Tensor

    def left(self, index: Tensor) -> "_Search":
        """Some of them."""
        return _Search(*(each[index] for each in self)) if len(index) < len(self.where) else self

    def inside(self, *, halve: bool = False) -> "_Search":
        """The same, looking between the ends: in the middle if told to, or if it would look elsewhere."""
        inside = (self.where > self.low) & (self.where < self.high)
        if not halve and bool(inside.all()):
            return self
        middle = _middle(self.low, self.high)
        return self._replace(where=middle if halve else torch.where(inside, self.where, middle))


def _quantiles(law: _Law, levels: Tensor) -> Tensor:
    """(Q, R) the values, for levels that are all far from 1/2, or none."""
    search = _start(law, levels)
    values, seeking = torch.empty_like(search.where), torch.arange(len(search.where), device=levels.device)
    turn = 0
    while len(seeking):
        search, found, done = _step(law, search)
        values[seeking] = found
        left, turn = (~done).nonzero().flatten(), turn + 1
        seeking, search = seeking[left], search.left(left).inside(halve=turn > _FREE and turn % 2 == 0)
    return values.view(-1, len(levels)).T


def _start(law: _Law, levels: Tensor) -> _Search:
    """All levels of all rows, row by row, beginning with a Gaussian of the row's mean and variance."""
    means, std, score = law.means, law.std, torch.special.ndtri(levels)
    least, most = (ends.unsqueeze(1) for ends in torch.aminmax(std, dim=0))
    first, last = (ends.unsqueeze(1) for ends in torch.aminmax(means, dim=0))
    # the mixture's quantile lies between the least and the greatest of its parts
    low = first + torch.minimum(least * score, most * score)
    high = last + torch.maximum(least * score, most * score)
    mean = _mean(means)
    total = (_mean((means - mean).square()) + _mean(std.square())).sqrt()
    found = (
        mean.unsqueeze(1) + total.unsqueeze(1) * score,
        low.nextafter(low.new_tensor(-math.inf)),
        high,
        torch.arange(len(mean), device=mean.device).unsqueeze(1),
        least,
        *_sides(levels, len(means)),
        score,
    )
    return _Search(*(each.expand_as(low).flatten() for each in found)).inside()


def _sides(levels: Tensor, samples: int) -> tuple[Tensor, Tensor]:
    """The probability of the side that has less, which keeps its digits, and which side that is."""
    upper, points = levels > 0.5, (levels * samples).round()
    # 9 of 10 points reach 0.9, though 1 - 0.9 is less than 0.1
    rest = torch.where(points / samples == levels, (samples - points) / samples, 1 - levels)
    return torch.where(upper, rest, levels), torch.where(upper, -1.0, 1.0).to(levels.dtype)


def _step(law: _Law, search: _Search) -> tuple[_Search, Tensor, Tensor]:
    """Look at each value: the search after it, what is found if it ends there, and whether it does.

    The steps are Halley's on the score of the probability, which for a single Gaussian is linear.

    Source:
        Alefeld 1981, "On the convergence of Halley's method".
    """
    tail, density, slope = _described(law, search)
    reached = (tail - search.level) * search.side >= 0
    low = torch.where(reached, search.low, search.where)
    high = torch.where(reached, search.where, search.high)
    score = search.side * torch.special.ndtri(tail)
    rise = density * (0.5 * score.square()).exp() * _ROOT_TWO_PI
    newton = (search.score - score) / rise
    bent = 0.5 * newton * (slope / density + score * rise)
    move = newton / (1 + bent.clamp(-0.5, 0.5))
    rounding = _EPS * torch.maximum(tail, search.level) / density
    last = torch.maximum(move.abs(), rounding) <= _NEAR
    # where the law is so flat that probabilities do not tell values apart, only ends that close in do
    closed = (rounding > _NEAR) & (high - low <= _NEAR * search.unit) | ~(low.nextafter(high) < high)
    where = search.where + move * search.unit
    found = torch.where(last, where.clamp(low, high), high)
    return search._replace(where=where, low=low, high=high), found, last | closed


def _described(law: _Law, search: _Search) -> tuple[Tensor, Tensor, Tensor]:
    """(E,) each: the probability of the side, the density and its slope; a unit is that of the search."""
    samples = len(law.means)
    fields = search.row, search.where, search.side, search.unit
    parts = zip(*(each.split(max(_SUMMED // samples, 1)) for each in fields), strict=True)
    tail, density, slope = torch.cat([_sums(law, *part) for part in parts], 1)
    tail = (tail if law.far else samples - tail) / (2 * samples)
    density, slope = density / (samples * _ROOT_TWO_PI), slope / (samples * _ROOT_TWO_PI)
    return tail, density, slope * (_ROOT_TWO * search.side)


def _sums(law: _Law, row: Tensor, where: Tensor, side: Tensor, unit: Tensor) -> Tensor:
    """(3, E) sums over the samples: of erf or erfc, bells, and these times their argument.

    Where a std is 0 there is no density: the last two are 0 or NaN, as they are where a score overflows.
    """
    terms = law.means.new_empty((3, len(law.means), len(row)))
    tails, bells, scores = terms
    std = _columns(law.std, row)
    torch.sub(where, _columns(law.means, row), out=scores)
    scores.masked_fill_((scores == 0) & (std == 0), 1.0)  # a point has reached itself
    scores /= std * (-_ROOT_TWO * side)
    (torch.erfc if law.far else torch.erf)(scores, out=tails)
    torch.mul(scores, scores, out=bells).neg_().exp_()
    if len(std) > 1:
        weight = unit / std
        bells *= weight
        scores *= weight
    scores *= bells
    return _summed(terms)


def _columns(values: Tensor, row: Tensor) -> Tensor:
    return values.gather(1, row.expand(len(values), -1))


def _mean(values: Tensor) -> Tensor:
    """(R,) means of (S, R)."""
    return _summed(values.unsqueeze(0).clone())[0] / len(values)


def _summed(values: Tensor) -> Tensor:
    """(K, E) sums of (K, S, E), in pairs; `values` is overwritten."""
    left = values.shape[1]
    while left > 1:
        half = left // 2
        values[:, :half] += values[:, left - half : left]
        left -= half
    return values[:, 0]


def _middle(low: Tensor, high: Tensor) -> Tensor:
    """The float that has as many floats between it and `low` as between it and `high`."""
    one, other = _ordinal(low), _ordinal(high)
    return _of_ordinal((one >> 1) + (other >> 1) + (one & other & 1))


def _ordinal(values: Tensor) -> Tensor:
    """The place of floats among all, from 0.0 on: their bits, whose first is a sign."""
    bits = values.view(torch.int64)
    return torch.where(bits < 0, _SIGN_BIT - bits, bits)


def _of_ordinal(places: Tensor) -> Tensor:
    return torch.where(places < 0, _SIGN_BIT - places, places).view(torch.float64)
