"""Computes the rate of requests from the times at which they began."""


def most_within(begun: list[float], seconds: float) -> int:
    """Returns the most requests in any window of so many seconds. Its end is not part of a window."""
    most = first = 0
    for last, at in enumerate(begun):
        while begun[first] <= at - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most
