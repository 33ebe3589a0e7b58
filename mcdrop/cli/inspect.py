"""`mcdrop inspect`: what a checkpoint is, and what in it is random."""

import json as json_format
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from mcdrop.checkpoint import Manifest
from mcdrop.cli.loading import keyword_inputs, loaded_model, manifest_of
from mcdrop.cli.options import AllowPackage, Checkpoint, Device, JsonFile
from mcdrop.datafiles import replacing
from mcdrop.mcdropout import MCDropout
from mcdrop.saving import example_inputs
from mcdrop.sites import Site

__all__ = ["command"]


def command(
    checkpoint: Checkpoint,
    *,
    json: JsonFile = None,
    device: Device = None,
    allow_package: AllowPackage = None,
) -> None:
    """Show what a checkpoint is: its facts, its random sites, and what the bits of its answers depend on.

    mcdrop inspect models/digits
    """
    mc = loaded_model(checkpoint, device=device, allow=allow_package)
    by_position, by_name = keyword_inputs(example_inputs(manifest_of(mc).inputs))
    sites = mc.trace(*by_position, model_kwargs=by_name)
    if json is not None:
        _write(mc, sites, json)
    console = Console()
    console.print(_pairs("", _facts(mc)))
    console.print(_sites_table(sites))
    console.print(_pairs(f"fingerprint {mc.fingerprint_id()}", mc.fingerprint()))


def _facts(mc: MCDropout) -> dict[str, object]:
    manifest = manifest_of(mc)
    sampling, exact = manifest.sampling, manifest.exact
    facts = {
        "model": f"{manifest.name}, version {manifest.version}",
        "digest": mc.digest,
        "task": manifest.task if manifest.tau is None else f"{manifest.task}, tau = {manifest.tau:.4g}",
        "architecture": f"{manifest.architecture.source} {manifest.architecture.name}",
        "arguments": _listing(manifest.architecture.arguments.items()),
        "parameters": f"{sum(parameter.numel() for parameter in mc.model.parameters()):,}",
        "inputs": "; ".join(_input_text(manifest)),
        "classes": ", ".join(manifest.classes or ()),
        "outputs": ", ".join(manifest.outputs.names or ()),
        "units": manifest.outputs.units,
        "samples": f"{sampling.n_samples}, seed {sampling.seed}",
        "masks": f"{sampling.masks}, {sampling.rng}",
        "exact mode": f"{exact.rows} rows in a block, {exact.strategy}",
        "training": _listing(manifest.training.items()),
        "scores": _listing(manifest.scores.items()),
    }
    return {name: value for name, value in facts.items() if value}


def _input_text(manifest: Manifest) -> Iterable[str]:
    for spec in manifest.inputs:
        shape = ", ".join(["N", *("any" if size < 0 else str(size) for size in spec.shape)])
        yield f"{spec.name} ({shape}) {spec.dtype}"


def _listing(items: Iterable[tuple[str, object]]) -> str:
    return ", ".join(_item_text(name, value) for name, value in items)


def _item_text(name: str, value: object) -> str:
    if isinstance(value, dict):
        return _listing((f"{name} {key}", inner) for key, inner in value.items())
    return f"{name} = {value:.4g}" if isinstance(value, float) else f"{name} = {value}"


def _pairs(title: str, pairs: dict[str, Any]) -> Table:
    table = Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        show_header=False,
        box=None,
        pad_edge=False,
    )
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs.items():
        table.add_row(name, str(value))
    return table


def _sites_table(sites: tuple[Site, ...]) -> Table:
    table = Table(title=f"{len(sites)} random sites", title_justify="left", title_style="bold")
    for name in ("site", "kind", "rate", "mask of a row"):
        table.add_column(name)
    for site in sites:
        table.add_row(*_site_facts(site).values())
    return table


def _site_facts(site: Site) -> dict[str, str]:
    shape = " x ".join(map(str, _row_shape(site))) or "one number"
    return {
        "name": site.name,
        "kind": site.kind,
        "rate": "" if site.p is None else f"{site.p:g}",
        "row_mask": shape if site.row_axis is not None else f"{shape}, the same for all rows",
    }


def _row_shape(site: Site) -> tuple[int, ...]:
    return site.row_shape(site.shape)


def _write(mc: MCDropout, sites: tuple[Site, ...], path: Path) -> None:
    document = {
        "digest": mc.digest,
        "manifest": manifest_of(mc).model_dump(mode="json"),
        "sites": [
            {
                "name": site.name,
                "kind": site.kind,
                "p": site.p,
                "row_shape": _row_shape(site),
                "row_axis": site.row_axis,
            }
            for site in sites
        ],
        "fingerprint_id": mc.fingerprint_id(),
        "fingerprint": mc.fingerprint(),
    }
    with replacing(path) as partial:
        partial.write_text(f"{json_format.dumps(document, indent=2)}\n", encoding="utf-8")
