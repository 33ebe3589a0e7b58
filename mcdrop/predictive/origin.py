"""Where a predictive comes from: how its samples were drawn, and who drew them."""

from dataclasses import dataclass, field

__all__ = ["Origin", "Sampled"]


@dataclass(frozen=True)
class Sampled:
    """How the samples of a predictive were drawn: enough for the same model and rows to draw them again.

    Attributes:
        n_samples: S; with a tolerance the most that a row could take.
        seed: Of the masks.
        masks: `consistent` or `independent`.
        rng: Name of the generator.
        exact: Whether fixed blocks were computed, so that the bits can be reproduced.
        tolerance: Standard error at which rows stopped (`n_samples="auto"`); None if all took S samples.
    """

    n_samples: int
    seed: int
    masks: str
    rng: str
    exact: bool = False
    tolerance: float | None = None


@dataclass(frozen=True)
class Origin:
    """Which service answered, and with what.

    Equal ones give the same bits for the same rows, samples and seed.

    Attributes:
        model: Its name.
        version: Of its checkpoint.
        digest: `sha256:` and the digest of the checkpoint's manifest.
        fingerprint: 16 hex digits; where the library has the same, `exact=True` gives the same bits.
        batch_invariance: `bitwise`: the same bits alone and in company. `tolerance`: up to rounding only.
        request_id: What the service's log calls the request; it does not count when two are compared.
    """

    model: str
    version: str
    digest: str
    fingerprint: str
    batch_invariance: str
    request_id: str | None = field(default=None, compare=False)
