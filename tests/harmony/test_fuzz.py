"""A small helping of `scripts/fuzz_harmony`."""

from __future__ import annotations

from hypothesis import example, given, settings

from tests.support import harmony_outputs as outputs

few = settings(max_examples=150, deadline=None, database=None)


@few
@given(outputs.well_formed())
def test_well_formed_output_is_read_as_openai_harmony_reads_it(tokens: list[int]) -> None:
    outputs.check_well_formed(tokens)


@few
@given(outputs.mutated())
@example(([200000, 200005, 200008, 304, 200002], []))  # a channel without a name that ends as an answer does
@example(([35644, 200003, 304, 200002], []))  # text without any channel that does
@example(([200005, 35644, 200007, 200008, 304, 200002], [200005, 35644]))  # the same behind a header that has ended
@example(([35644, 200002, 200005, 200008, 304, 200002], []))  # and behind what was an answer already
def test_a_fault_loses_nothing_before_it_and_shows_no_thought(example: tuple[list[int], list[int]]) -> None:
    outputs.check_mutated(*example)


@few
@given(outputs.noise)
def test_no_ids_at_all_make_the_parser_raise_or_show_markup(tokens: list[int]) -> None:
    outputs.check_noise(tokens)
