# SPDX-License-Identifier: Apache-2.0
"""How figures are spelled."""


def rate(count, seconds):
    return f"{count / seconds / 1000:,.0f} k/s"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def spread(waits):
    """How many, and their median, 99th percentile and greatest."""
    waits = sorted(waits)
    if not waits:
        raise SystemExit("bench: no event arrived")
    at = lambda part: f"{waits[min(len(waits) - 1, int(len(waits) * part))]:.1f}"
    return [f"{len(waits):,}", at(0.5), at(0.99), at(1)]
