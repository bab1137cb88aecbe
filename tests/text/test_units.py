"""Durations and sizes: what is read, what is refused, and that written ones can be read."""

from __future__ import annotations

import pytest

from fsm_orchestrator.text.units import (
    Measure,
    NotMeasuredError,
    exact_size,
    exact_span,
    measured,
    span_words,
)

DURATIONS = {
    "0": 0,
    "30000": 30_000,
    "500ms": 500,
    "30s": 30_000,
    "90s": 90_000,
    "10m": 600_000,
    "1h30m": 5_400_000,
    "1h30m15s250ms": 5_415_250,
    "4m05s": 245_000,
    "2d": 172_800_000,
    "1.5s": 1_500,
    "0.25h": 900_000,
    "1m0.5s": 60_500,
    "0s": 0,
}
SIZES = {
    "0": 0,
    "4096": 4096,
    "1b": 1,
    "1B": 1,
    "64k": 64_000,
    "64K": 64_000,
    "64kB": 64_000,
    "64Ki": 65_536,
    "64KiB": 65_536,
    "10MB": 10_000_000,
    "10mb": 10_000_000,
    "2GiB": 2_147_483_648,
    "1.5GiB": 1_610_612_736,
    "1TiB": 1_099_511_627_776,
}
NEITHER = (
    *(
        "",
        " ",
        "s",
        "x",
        "1 0",
        " 30s",
        "30s ",
        "1h 30m",
        "+5s",
        "-5s",
        "--5",
        "1e3",
        "1_000",
        "0x10",
    ),
    *(
        "1.5",
        ".5s",
        "1.s",
        "1,5s",
        "1.2.3s",
        "\u0663\u0660s",
        "30\u017f",
        "1\N{KELVIN SIGN}",
        "5\n",
        "nan",
        "inf",
    ),
    "9" * 17,
)
NO_DURATION = (
    *("1.5x", "30S", "10M", "1H", "1m1h", "1s1s", "1.5h30m", "0.5ms", "1.0001s", "10min", "2GiB"),
    "1w",
)
NO_SIZE = ("10 MB", "1.5B", "0.0001k", "1MBB", "1KIBB", "5ms", "1kk", "1EiB", "10MB5kB")


@pytest.mark.parametrize(("text", "milliseconds"), DURATIONS.items())
def test_duration_is_read(text: str, milliseconds: int) -> None:
    """Units come in descending order, each once; a bare number is milliseconds."""
    assert measured(text, Measure.MILLISECONDS) == milliseconds


@pytest.mark.parametrize(("text", "count"), SIZES.items())
def test_size_is_read(text: str, count: int) -> None:
    """With `i` a unit is a power of 1024, without it of 1000, in any case; a number is bytes."""
    assert measured(text, Measure.BYTES) == count


@pytest.mark.parametrize("text", [*NEITHER, *NO_DURATION])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """The refusal quotes the text and says what to write."""
    with pytest.raises(NotMeasuredError) as refusal:
        measured(text, Measure.MILLISECONDS)
    assert str(refusal.value) == (
        f"{text!r} is no duration: write 90s, 10m, 1h30m, or a whole number of milliseconds"
    )


@pytest.mark.parametrize("text", [*NEITHER, *NO_SIZE])
def test_what_is_no_size_is_refused(text: str) -> None:
    """The refusal quotes the text and says what to write."""
    with pytest.raises(NotMeasuredError) as refusal:
        measured(text, Measure.BYTES)
    assert str(refusal.value) == (
        f"{text!r} is no size: write 64k, 10MB, 2GiB, or a whole number of bytes"
    )


def test_long_text_is_shown_in_part() -> None:
    """A refusal is one line, however long the text."""
    with pytest.raises(NotMeasuredError) as refusal:
        measured("7" * 10_000, Measure.MILLISECONDS)
    assert len(str(refusal.value)) < 200


def test_what_is_written_can_be_read() -> None:
    """A setting is written exactly; a measurement is rounded, and is also a valid duration."""
    spans = {0: "0ms", 500: "500ms", 1_234: "1.234s", 30_000: "30s", 600_000: "10m"}
    spans |= {90_000: "1m30s", 5_400_000: "1h30m", 3_600_000: "1h", 61_500: "1m1.5s"}
    assert {one: exact_span(one) for one in spans} == spans
    for one in (*spans, 2_147_483_647, *range(1, 200_000, 377)):
        assert measured(exact_span(one), Measure.MILLISECONDS) == one
        assert abs(measured(span_words(one), Measure.MILLISECONDS) - one) <= max(500, one // 100)
    sizes = {2**31: "2GiB", 10_000_000: "10MB", 65_536: "64KiB", 64_000: "64kB", 1234: "1234 bytes"}
    assert {one: exact_size(one) for one in sizes} == sizes
