"""A model as a function f(x, masks): its private view, and the trace of one input signature."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

import torch
from torch import Tensor, nn

from mcdrop.engine.eager import compiled_functions_off
from mcdrop.engine.forcing import middle
from mcdrop.engine.generators import generator_states, moved_since, put_back
from mcdrop.engine.inputs import Call
from mcdrop.engine.interception.mode import DrawSource, Interception
from mcdrop.engine.maskcache import MaskCache
from mcdrop.engine.outputs import Outputs
from mcdrop.engine.promotion import Births, Promotions
from mcdrop.engine.recording import Recorder, natural
from mcdrop.engine.replay import run
from mcdrop.engine.sites import Site, SiteKey
from mcdrop.engine.tracing import Trace
from mcdrop.engine.view import ModulePaths, private_view, set_train_mode, watch_paths

__all__ = ["Network", "network_of"]


_FULL: Final = ("_STATUS_ALLOC_FAILED", "CUDA error: out of memory", "can't allocate memory")
"""How cuBLAS and cuDNN, CUDA itself and the processor's allocator say that there is no memory."""


@dataclass(frozen=True)
class Network:
    """What a strategy needs to replay a model; safe to share between threads.

    Attributes:
        view: Over the user's tensors, with the owners of random calls in train mode.
        evaluation: The same, all in eval mode.
        paths: The running modules of `view`.
        sites: By address.
        outputs: Layout of what the model returns.
        fixed: Whether the same sites fire in every pass.
        written_inputs: Which leaves of a call the model writes to; it gets copies of them.
        differentiates: Whether its forward pass computes gradients, such as forces from an energy.
        cache: Of the masks that all rows share; on the device of the model.
        promotions: What vmap must batch from its birth on; found when first needed.
        least_rows: Behind fewer rows of a linear layer ahead of the first site stand zeros.
    """

    view: nn.Module
    evaluation: nn.Module
    paths: ModulePaths
    sites: dict[SiteKey, Site]
    outputs: Outputs
    fixed: bool
    written_inputs: frozenset[int]
    differentiates: bool
    cache: MaskCache
    promotions: Promotions = field(default_factory=Promotions)
    least_rows: int = 1

    def inference(self) -> AbstractContextManager[object]:
        """The mode of its passes: inference mode, which no gradient can be computed in, unless it does."""
        # entering `torch.inference_mode()`, which does so, takes three times as long
        return _without_inference_mode() if self.differentiates else torch._C._InferenceMode(True)  # noqa: FBT003, SLF001

    def outputs_for(self, call: Call, source: DrawSource, births: Births | None = None) -> list[Tensor]:
        """The tensors of one pass, each with its rows on axis 0; `births` says what vmap must batch early."""
        own = self._own(call)
        given, mode = (own, Interception) if births is None else (births.inputs(own), births.mode)
        try:
            output = run(self.view, self.paths, given, source, mode, least_rows=self.least_rows)
        except RuntimeError as error:
            if any(words in str(error) for words in _FULL):
                raise torch.OutOfMemoryError(str(error)) from error
            raise
        return self.outputs.rows_first(output)

    def native_outputs(self, call: Call) -> list[Tensor]:
        """The same with the model's own draws, which move the global generators."""
        args, kwargs = self._own(call).arguments()
        with compiled_functions_off():
            return self.outputs.rows_first(self.view(*args, **kwargs))

    def deterministic_outputs(self, call: Call) -> list[Tensor]:
        """The tensors of the pass in eval mode, each with its rows on axis 0.

        What draws in eval mode too, such as `F.dropout(x)`, gets draws from the middle of its law: ones. That
        of uniforms says nothing of the mask that a model makes of them, so they are drawn: once for all rows.
        """
        args, kwargs = self._own(call).arguments()
        before = generator_states()
        outputs = self.outputs.rows_first(self.evaluation(*args, **kwargs))
        return self._without_draws(call, before) if moved_since(before) else outputs

    def _without_draws(self, call: Call, before: dict[str, Any]) -> list[Tensor]:
        recorder = Recorder(ModulePaths(), lambda site: _still(site, call.rows))
        outputs = self.outputs.rows_first(run(self.evaluation, recorder.paths, self._own(call), recorder))
        if recorder.sites:  # else another thread moved the generator
            put_back(before)
        return outputs

    def wait(self) -> None:
        """Wait until all is computed: CUDA returns before it is, so no time could be taken."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.cache.device

    def _own(self, call: Call) -> Call:
        """The call with copies of the inputs that the model writes to."""
        if not self.written_inputs:
            return call
        leaves = tuple(t.clone() if i in self.written_inputs else t for i, t in enumerate(call.leaves))
        return replace(call, leaves=leaves)


def _still(site: Site, rows: int) -> Tensor:
    """The draw in the middle of a law; of uniforms a real one, the same in each of so many rows."""
    if site.law.name != "uniform":
        return middle(site.law, site.shape)
    shared = (1, *site.shape[1:]) if site.shape[:1] == (rows,) else site.shape
    return natural(replace(site, shape=shared)).expand(site.shape).clone()


@contextmanager
def _without_inference_mode() -> Iterator[None]:
    with torch.inference_mode(mode=False), torch.no_grad():
        yield


def network_of(model: nn.Module, traced: Trace, cache: MaskCache | None = None) -> Network:
    """The replayable form of a traced model.

    Args:
        model: The user's.
        traced: What is known of it.
        cache: Of masks, on the device of the model; None for one of its own.
    """
    view = private_view(model, clone=traced.written_state)
    set_train_mode(view, traced.owners)
    return Network(
        view=view,
        evaluation=private_view(model, clone=traced.written_state),
        paths=watch_paths(view),
        sites={site.key: site for site in traced.sites},
        outputs=traced.outputs,
        fixed=traced.fixed,
        written_inputs=traced.written_inputs,
        differentiates=traced.differentiates,
        cache=cache or MaskCache(traced.device),
    )
