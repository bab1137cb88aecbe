"""Encodings of a secret: none of them is shown, at any offset, whole or cut."""

from __future__ import annotations

import base64
import html
import json
import shlex
import urllib.parse
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsm_orchestrator.config.run_config import RunConfig, StageGiven
from fsm_orchestrator.secrets.masking import MASK, Masker
from tests.secrets.secret_cases import places_of
from tests.support.command import PASSING, orchestrate, report_of, shell

SECRETS = (
    "open-sesame-4711",
    'it\'s a "p&ss"/wörd <x> $1 \\ %é+=',
    "Zm9v/YmFy+YmF6==",
    "🔑 two\tparts",
)
PEM = "-----BEGIN KEY-----\n" + "\n".join(f"MIIEvg{n:02}IBADANBgkq+/{n:02}" for n in range(9))


def encodings(value: str) -> list[str]:
    """Return the encodings of a value by common tools."""
    data = value.encode()
    quoted = urllib.parse.quote(value, safe="")
    return [
        value,
        quoted,
        quoted.lower() if "%" in quoted and value.islower() else quoted,
        urllib.parse.quote(value),
        urllib.parse.quote_plus(value),
        json.dumps(value),
        json.dumps(value, ensure_ascii=False),
        repr(value),
        ascii(value),
        escape(value),
        quoteattr(value),
        html.escape(value),
        shlex.quote(value),
        f"export X={shlex.quote(value)}",
        "'" + value.replace("'", "'\\''") + "'",
        data.hex(),
        data.hex().upper(),
        *(encode(data).decode() for encode in (base64.b64encode, base64.urlsafe_b64encode)),
        base64.encodebytes(data).decode(),
    ]


@pytest.mark.parametrize("value", SECRETS)
def test_no_common_encoding_is_left(value: str) -> None:
    """Only quotes are left of each encoding."""
    masker = Masker([value])
    for encoded in encodings(value):
        masked = masker.mask(f"<< {encoded} >>")
        assert MASK in masked, encoded
        assert len(masked.replace(MASK, "")) <= len("<< '\"export X='\" >>"), encoded


@settings(deadline=None)
@given(
    value=st.binary(min_size=6, max_size=80),
    before=st.binary(max_size=5),
    after=st.binary(max_size=5),
)
def test_base64_is_masked_at_every_offset(value: bytes, before: bytes, after: bytes) -> None:
    """Before and after any text, all but the characters shared with neighbors is masked."""
    text = value.hex()  # text, and random
    masker = Masker([text])
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        whole = encode(before + text.encode() + after).decode()
        start, end = len(before), len(before) + len(text)
        inner = whole[-(-8 * start // 6) : 8 * end // 6]
        assert inner in whole
        masked = masker.mask(whole)
        assert inner not in masked
        assert len(masked) <= len(whole) - len(inner) + len(MASK)


def test_each_line_of_a_key_is_a_secret_in_every_encoding() -> None:
    """One line of a PEM is masked alone, indented, in JSON and in base64, as is the whole key."""
    masker = Masker([PEM])
    for line in PEM.splitlines():
        for encoded in (*encodings(line), f"   {line}"):
            assert line not in masker.mask(encoded)
            assert MASK in masker.mask(encoded)
    assert masker.mask(json.dumps({"key": PEM})) == f'{{"key": "{MASK}"}}'
    wrapped = base64.b64encode(PEM.encode()).decode()
    for width in (64, 76):
        lines = [wrapped[at : at + width] for at in range(0, len(wrapped), width)]
        assert masker.mask("\n".join(lines)) == "\n".join([MASK] * len(lines))


@pytest.mark.parametrize("value", [SECRETS[0], SECRETS[1]])
def test_no_part_of_a_value_that_was_cut_is_left(value: str) -> None:
    """However much of the value is in the tail, in any encoding, no part of it is shown."""
    masker = Masker([value])
    for encoded in (value, value.encode().hex(), urllib.parse.quote(value, safe="")):
        for cut in range(1, len(encoded)):
            assert masker.masked_tail(encoded + " end", len(encoded) - cut + 4) == f"{MASK} end"
        for cut in range(3, len(encoded)):
            assert masker.masked_end(f"begin {encoded[:cut]}") == f"begin {MASK}"


def test_what_is_printed_in_other_forms_is_masked_where_it_is_quoted(tmp_path: Path) -> None:
    """It is masked in stderr, arguments, names of processes, and the last line that was cut."""
    value = SECRETS[1]
    forms = tmp_path / "forms"
    forms.write_text("\n".join(encodings(value)) + "\nand the rest: " + value[:9])
    options = (*shell("manager", "cat forms >&2; exit 1"), "--manager-secret", "TOKEN")
    arguments = [word for one in encodings(value)[:-1] for word in ("--manager-arg", one)]
    ended = orchestrate(
        "out", *PASSING, *options, *arguments, "--log-output", cwd=tmp_path, env={"TOKEN": value}
    )
    assert ended.code == 1
    (execution,) = report_of(tmp_path / "out")["stage_executions"]
    assert execution["stderr_tail"].endswith(f"and the rest: {MASK}")
    assert all(MASK in one for one in execution["args"][2:])
    (tmp_path / "out" / "logs" / "manager.1.stderr.log").unlink()
    for encoded in encodings(value):
        core = max(encoded.splitlines(), key=len).strip("'\"")
        core = core.removeprefix("export X=").strip("'")
        assert places_of(core, tmp_path / "out", ended) == set(), encoded


def test_a_configuration_shows_keys_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a debugger or a log it shows no value of a variable, and no secret in an argument."""
    monkeypatch.setenv("FROM_HERE", SECRETS[0])
    stage = StageGiven(
        bin="x",
        args=(f"--a={SECRETS[0]}", f"--b={SECRETS[2]}"),
        env={"MODE": "a setting", "GH_TOKEN": SECRETS[2]},
        secrets={"FROM_HERE": None, "GIVEN": SECRETS[3]},
    )
    config = RunConfig(output_directory="out", stages={"manager": stage})
    for shown in (repr(config), str(config), repr(stage.env and config.stages)):
        assert "MODE" in shown
        assert "GIVEN" in shown
        assert "a setting" not in shown
        assert SECRETS[3] not in shown
    assert SECRETS[0] not in repr(config)
    assert SECRETS[2] not in str(config)
