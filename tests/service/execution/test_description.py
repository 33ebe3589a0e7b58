"""What is told of a checkpoint beyond the facts."""

from mcdrop_service.execution.description import description

from mcdrop.checkpoint.manifest import Manifest, parse_manifest
from tests.support.repository import ROOT


def test_whoever_asks_by_http_learns_which_number_of_a_row_is_which() -> None:
    columns = ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]
    assert description(manifest("diabetes"), {})["columns"] == {"x": columns}
    assert description(manifest("digits"), {})["columns"] == {}


def manifest(name: str) -> Manifest:
    return parse_manifest((ROOT / "models" / name / "mcdrop.json").read_bytes())
