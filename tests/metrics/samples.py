"""Reads the metrics of the test's database."""

from tasks_app.metrics.collector import DatabaseCollector

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def read() -> Samples:
    """Returns all samples by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in DatabaseCollector().collect()
        for sample in family.samples
    }


def value(name: str, /, **labels: str) -> float | None:
    """Returns one sample now; None if there is none."""
    return value_in(read(), name, **labels)


def value_in(samples: Samples, name: str, /, **labels: str) -> float | None:
    """Returns one of these samples; None if it is not there."""
    return samples.get((f"collector_{name}", frozenset(labels.items())))


def family_names() -> set[str]:
    """Returns the names of all families; those of counters end in _total."""
    families = DatabaseCollector().collect()
    return {family.name + "_total" * (family.type == "counter") for family in families}
