"""What a server tells Prometheus."""

from prometheus_client.parser import text_string_to_metric_families

from tests.support.wire import Server, get

__all__ = ["Samples", "changes", "samples", "samples_of"]

Samples = dict[tuple[str, ...], float]


def samples(server: Server) -> Samples:
    """Every sample of `/metrics`, by its name and the values of its labels in order of their names."""
    answer = get(server, "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return samples_of(answer.body)


def samples_of(text: bytes) -> Samples:
    """The same of a text in Prometheus' format."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def changes(before: Samples, after: Samples) -> Samples:
    """How much more each is than it was."""
    return {key: value - before.get(key, 0) for key, value in after.items()}
