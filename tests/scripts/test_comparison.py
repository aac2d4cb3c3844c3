"""The crosscheck misses what it should miss."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.agreement.comparison import Array, Comparisons, Row

IDS = 8


def logs(*rows: int) -> Array:
    """Return log-probabilities in which one id of each row stands out."""
    logits = np.zeros((len(rows), IDS), np.float32)
    logits[np.arange(len(rows)), rows] = 2
    found: Array = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return found


def compared(first: int, found: Array, expected: Array) -> Row:
    comparisons = Comparisons()
    comparisons.add("checkpoint", "alone", first, found, expected)
    (row,) = comparisons.rows
    return row


def test_what_agrees_is_not_missed() -> None:
    row = compared(0, logs(1, 2, 3) + 1e-3, logs(1, 2, 3))
    assert (row.positions, row.share, row.missed) == (3, 1, False)
    assert row.worst == pytest.approx(1e-3, rel=0.01)


def test_early_on_a_difference_is_missed_and_later_reported() -> None:
    assert compared(0, logs(1) + 3e-3, logs(1)).missed
    late = compared(5000, logs(1) + 3e-3, logs(1))
    assert not late.missed
    assert late.worst == pytest.approx(3e-3, rel=0.01)


def test_what_is_never_sampled_is_not_compared() -> None:
    found, expected = logs(1), logs(1)
    found[0, 5], expected[0, 5] = -15, -20
    assert not compared(0, found, expected).missed


def test_early_on_one_other_id_is_missed_and_later_one_in_two_hundred_is_not() -> None:
    found = logs(*[1] * 400)
    found[:2] = logs(2, 2)
    assert compared(0, found, logs(*[1] * 400)).missed
    assert not compared(4096, found, logs(*[1] * 400)).missed
    found[2] = logs(2)[0]
    assert compared(4096, found, logs(*[1] * 400)).missed


def test_near_ties_are_told_from_others() -> None:
    expected = logs(1, 1)
    expected[0, 2] = expected[0, 1] - 1e-4
    assert [parting.split(" at ")[0] for parting in compared(9, logs(2, 2), expected).partings] == [
        "near tie",
        "PARTING",
    ]


def test_sampled_ids_are_compared_until_they_part() -> None:
    comparisons = Comparisons()
    comparisons.add_sampled("checkpoint", "sampled", 0, [1, 7, 7, 7], logs(1, 2, 3, 4))
    (row,) = comparisons.rows
    assert (row.positions, row.agreeing, row.missed) == (2, 1, True)
