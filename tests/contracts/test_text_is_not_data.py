"""No sentence of this program is parsed: values carry facts, sentences are only shown.

Syntax decides: every call that takes text apart must be in a table here, with the foreign text that
it reads. Comparisons (`==`, `in`) are beyond what syntax shows.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

import fsm_orchestrator

ROOT: Final = Path(fsm_orchestrator.__file__).parent
TAKES_APART: Final = frozenset(
    {
        *("startswith", "endswith", "partition", "rpartition", "split", "rsplit"),
        *("splitlines", "removeprefix", "removesuffix"),
        *("match", "search", "fullmatch", "sub", "subn", "findall", "finditer"),
    }
)
"""Methods of text, of `re` and of its patterns."""

FILES: Final = {
    "approvals/texts.py": "texts that people are shown, and what was kept of them",
    "processes/cage.py": "messages to a keeper",
    "processes/stage_start.py": "messages to a keeper",
    "processes/tree_usage.py": "files in /proc",
    "stages/strict_json.py": "JSON artifacts, and msgspec's messages about them",
    "rendering/html/environment.py": "escapes for HTML",
    "text/hidden.py": "escapes for terminals and shells",
    "text/terminal.py": "what stages print",
    "cli/commands/completion.py": "what the shell hands over of a line that is being typed",
    "processes/held_code.py": "names of modules and their files",
    "disk/plain_modules.py": "names of modules and their files",
    "disk/unchanged.py": "paths, and the lists that installers make of files",
    "cli/enumerations.py": "names of members of a class, and of its module",
    "cli/isolation.py": "the environment of the process",
    "cli/named_tuples.py": "names of fields of a class",
    "cli/spared.py": "names of modules",
    "cli/parser/completion.py": "a word that is being typed, names of directories",
    "cli/parser/parameters.py": "values of options",
    "cli/parser/parts.py": "values of options",
    "cli/parser/prescan.py": "arguments of the command line",
    "config/config_text.py": "escapes for terminals",
    "disk/checkout.py": "files of git",
    "inspection/watching.py": "files in /proc",
    "gates/git_subject.py": "what git prints, names of environment variables, paths",
    "disk/peek.py": "the beginning of a checkpoint's JSON",
    "model/checking.py": "values of fields, held against their pattern",
    "processes/executable_file.py": "the first line of a script, the head of a program",
    "processes/freezing.py": "files in /proc",
    "processes/memory_kills.py": "files of control groups and in /proc",
    "processes/open_files.py": "files in /proc",
    "processes/keeper.py": "messages to a keeper, files in /proc",
    "processes/keeper_messages.py": "messages between two processes",
    "processes/tree_cgroup.py": "/proc, and the files of a cgroup",
    "processes/snapshots.py": "files and links in /proc",
    "processes/startable.py": "the first line of a script, the head of a program, PATH",
    "processes/table.py": "files in /proc",
    "rendering/diagram/image.py": "SVG that Graphviz draws",
    "rendering/diagram/mermaid.py": "escapes for Mermaid",
    "rendering/html/colors.py": "what stages print",
    "rendering/html/picture.py": "SVG that Graphviz draws",
    "secrets/encodings.py": "secrets, to encode them",
    "secrets/masking.py": "whatever is to be masked",
    "stages/output_lines.py": "what a stage prints",
    "text/json_output.py": "escapes for terminals",
    "text/search.py": "what stages print",
    "text/toml.py": "TOML files of a person",
    "web/guard.py": "requests of a browser",
    "web/run_log.py": "what stages print",
}
"""Files that only read or escape foreign text, and the text that each reads."""

ALLOWED: Final = {
    ("text/amounts.py", "amount_given"): "an amount that a person wrote",
    ("temporal/connecting.py", "_why"): "an address that an operator named",
    ("temporal/connecting.py", "first_line"): "a library's message",
    ("text/amounts.py", "is_unit"): "what a stage or a person calls a unit",
    ("stages/meter.py", "Meter._read_on"): "a file that a stage wrote",
    ("model/dumping.py", "_number"): "a number as Python writes it",
    ("approvals/answering.py", "said_in"): "an SSH signature",
    ("bundle/headers.py", "extended_in"): "a header of an archive",
    ("bundle/inventory.py", "_entries"): "names in a directory",
    ("bundle/inventory.py", "_Known.has"): "names in a directory",
    ("bundle/signatures.py", "named"): "names in an archive",
    ("bundle/members.py", "kind_of"): "names in an archive",
    ("approvals/signing.py", "usable_keys"): "what ssh-add prints",
    ("approvals/signing.py", "_usable"): "what ssh-add prints",
    ("cli/main.py", "_hint"): "an option of the command line",
    ("cli/parser/names.py", "gate_named"): "the parser's name of an option",
    ("config/config_reading.py", "_template_problems"): "keys of a config file",
    ("config/contract_texts.py", "_slashed"): "a path that an operator named",
    ("disk/epochs.py", "is_epoch_name"): "names in a directory",
    ("disk/epochs.py", "drafts_of"): "names in a directory",
    ("disk/epochs.py", "next_invocation"): "names in a directory",
    ("record/claiming.py", "_duplicate"): "names in a directory",
    ("record/claiming.py", "_is_answer"): "names in a directory",
    ("record/left_beside.py", "_split"): "lines of a file, each with its MAC",
    ("stages/output_files.py", "attempt_of"): "names in a directory",
    ("disk/trees.py", "matches_of"): "a glob that an operator gave",
    ("disk/trees.py", "fixed_part"): "a glob that an operator gave",
    ("model/assertions.py", "read_assertion"): "a pointer that an operator gave",
    ("model/contracts.py", "is_directory"): "a path that an operator named",
    ("stages/json_document.py", "at_pointer"): "a pointer that an operator gave",
    ("stages/json_schemas.py", "_validator"): "an error of a library's",
    ("config/file_texts.py", "value_of"): "keys of a config file",
    ("config/file_texts.py", "_changed"): "keys of a config file",
    ("explanation/compared_facts.py", "_places.in_place"): "paths, and words of commands",
    ("explanation/confinement_words.py", "confinement_lines"): "paths",
    ("preparation/confined.py", "_is_within"): "paths",
    ("processes/ancestry.py", "_has_token"): "files in /proc",
    ("processes/tool.py", "paged"): "the variable PAGER",
    ("__main__.py", "_load_package"): "names of files",
    ("engine/collecting.py", "Collecting._next_number"): "names in a directory",
    ("approvals/keys.py", "signing_key"): "an SSH signature",
    ("approvals/keys.py", "_identified"): "an SSH key",
    ("approvals/keys.py", "allowed_lines"): "a file of SSH keys",
    ("approvals/store.py", "kept_in"): "names in a directory",
    ("bundle/accepted.py", "_event"): "a line of a file, with its end",
    ("bundle/opened.py", "OpenedBundle.lines"): "lines of a file, read in pieces",
    ("bundle/record_links.py", "chain"): "lines of a file, each with its end",
    ("cli/commands/verify_bundle.py", "_wanted"): "a digest that an operator gave",
    ("cli/commands/verify_bundle.py", "_required"): "words that an operator gave",
    ("cli/parser/lists_of_runs.py", "Standings.convert"): "words that an operator gave",
    ("cli/parser/lists_of_runs.py", "Standings.shell_complete"): "a word that is being typed",
    ("config/notice.py", "Notice.based"): "a path that an operator named",
    ("disk/belongings.py", "has_name_of_a_run"): "names in a directory",
    ("disk/restoring.py", "half_restored"): "names in a directory",
    ("disk/restoring.py", "sweep"): "names in a directory",
    ("notices/command.py", "_environment"): "names of environment variables",
    ("notices/told.py", "told_of"): "lines of a file",
    ("notices/webhook.py", "_refused"): "what a server answered",
    ("retention/contents.py", "_mounted_below"): "a file in /proc",
    ("retention/removing.py", "_removed"): "names in a directory",
    ("bundle/approval_links.py", "_stored"): "names in a bundle",
    ("gates/sources/command.py", "CommandSource.based"): "a path that an operator named",
    ("gates/sources/github_api.py", "_Page.links"): "the Link of an HTTP answer",
    ("gates/sources/github_api.py", "_read"): "the head of an HTTP answer",
    ("gates/sources/github_api.py", "_first_line"): "what gh prints",
    ("gates/sources/command.py", "_Command._environment"): "names of environment variables",
    ("gates/sources/junit.py", "read_junit.start"): "names in an XML file",
    ("gates/sources/junit.py", "read_junit.end"): "names in an XML file",
    ("gates/sources/judge_child.py", "main"): "lays out lines, whatever they say",
    ("gates/sources/github.py", "_named_in_full"): "what an operator named",
    ("gates/sources/judge_child.py", "_said_by_regorus"): "an error of an engine's",
    ("gates/sources/policy.py", "_listed"): "names in a directory",
    ("gates/sources/rego.py", "_path_of_a_rule"): "what an operator named",
    ("gates/sources/signatures.py", "SshSignature.signer"): "a file of SSH keys",
    ("gates/sources/signatures.py", "_without"): "a file of SSH keys",
    ("processes/tool.py", "_end_of"): "what a tool prints",
    ("cli/commands/explain.py", "_evidence"): "lays out lines, whatever they say",
    ("cli/explanation_text.py", "_facts"): "lays out lines, whatever they say",
    ("cli/explanation_text.py", "_paragraphs"): "lays out lines, whatever they say",
    ("cli/screen.py", "labeled"): "lays out lines, whatever they say",
    ("cli/screen.py", "shortened"): "lays out lines, whatever they say",
    ("cli/summary.py", "refusal_lines"): "lays out lines, whatever they say",
    ("cli/console.py", "has_unicode"): "the name of a locale",
    ("cli/console.py", "Console.encoded_show"): "takes colors out, whatever they color",
    ("cli/style.py", "plain"): "takes colors out, whatever they color",
    ("cli/formatting.py", "sentences"): "lays out lines, whatever they say",
    ("cli/live_lines.py", "_running_line"): "lays out words on one line, whatever they say",
    ("cli/stage_lines.py", "stage_line"): "lays out words on one line, whatever they say",
    ("text/cells.py", "wrapped"): "lays out words in lines, whatever they say",
    ("cli/commands/renames.py", "renames"): "names in an argument",
    ("cli/commands/verify.py", "_lines"): "lays out lines, whatever they say",
    ("cli/commands/init_stages.py", "_split"): "names in an argument",
    ("cli/commands/init_stages.py", "_wrapped"): "commands in an argument",
    ("cli/commands/init_stages.py", "_needs_shell"): "commands in an argument",
    ("cli/commands/init_stages.py", "_name"): "commands in an argument",
    ("cli/parser/sectioned.py", "ManyAfterFrom.parse_args"): "arguments",
    ("config/asked_texts.py", "_rebased"): "texts in a config file, marked while they are changed",
    ("config/templates.py", "_pieces"): "texts in a config file",
    ("model/stage_options.py", "stage_of_option"): "an option in an argument",
    ("disk/belongings.py", "_is_of_ours"): "what somebody's file begins with",
    ("model/trace.py", "parent_in"): "a variable of the environment",
    ("model/trace.py", "state_in"): "a variable of the environment",
    ("telemetry/note.py", "read_notes"): "the lines of a file",
    ("telemetry/reading.py", "_lines"): "the lines of a file",
    ("telemetry/sender.py", "_orders"): "the lines of a socket",
    ("disk/stale.py", "remove_stale"): "names in a directory",
    ("model/stage_options.py", "setting_named"): "the parser's name for a setting, made beside it",
    ("rendering/diagram/folds.py", "_joined"): "names of states and triggers, to make an id",
    ("fleet/crew.py", "Worker.heard"): "the lines of a pipe",
    ("fleet/worker.py", "_lines"): "the lines of a pipe",
    ("fleet/definition.py", "_json_lines"): "the lines of a file",
    ("fleet/definition.py", "_run_of"): "a name in a file",
    ("rendering/ci/github.py", "groups_of"): "what a stage prints",
    ("rendering/ci/junit.py", "junit_xml"): "a time as another format has it",
    ("rendering/html/last_words.py", "_end_of"): "what a stage prints",
    ("rendering/html/output.py", "_shown"): "what a stage prints",
    ("stages/output_tail.py", "last_line"): "what a stage prints",
    ("text/phrases.py", "counted"): "a noun, to make its plural",
    ("text/validation.py", "problems"): "pydantic's messages",
    ("text/validation.py", "expectation"): "pydantic's messages",
    ("config/origins.py", "with_given"): "keys of settings, made beside it",
    ("cli/formatting.py", "command_lines"): "words of a command line, quoted for a shell",
    ("cli/formatting.py", "shown_path"): "a path that an operator named",
    ("cli/main.py", "run_command_line"): "click's messages",
    ("cli/parser/app.py", "CommandGroup.shell_complete"): "a word that is being typed",
    ("cli/parser/bare_words.py", "as_options"): "arguments of the command line",
    ("cli/parser/bare_words.py", "refuse_bare_word"): "arguments of the command line",
    ("engine/foreign.py", "<module>"): "names of modules",
    ("engine/foreign.py", "is_foreign"): "names of modules",
    ("inspection/at_work.py", "_note"): "fields of events, which a stage may have written",
    ("processes/lockers.py", "kernel_locks"): "/proc/locks",
    ("record/side_file.py", "_chained"): "lines of a file",
    ("lifecycle/judged.py", "judged_table"): "lines of a file that the build makes",
    ("lifecycle/shape.py", "_resolved"): "references of a JSON Schema",
    ("lifecycle/source.py", "is_name"): "names in a lifecycle file",
    ("lifecycle/source.py", "shipped_names"): "names of files",
    ("model/open_attempt.py", "cycle_in"): "the idempotency key of a record, RUN:STAGE:CYCLE",
    ("preparation/setting_warnings.py", "setting_warnings"): "names of environment variables",
    ("processes/search_path.py", "found_on"): "PATH",
    ("processes/keeper_pool.py", "<module>"): "names in Python's module resource",
    ("processes/keeper_pool.py", "_status"): "/proc/self/status",
    ("cli/argv_secrets.py", "_values"): "the command line",
    ("processes/postmortem.py", "_last_line"): "what a stage prints",
    ("record/checkpoint_reader.py", "_unreadable"): "the bytes of a file that is no JSON",
    ("record/chain_walk.py", "_lines"): "the lines of a log",
    ("record/left_file.py", "lines_of"): "the lines of a file",
    ("record/left_file.py", "_open"): "the lines of a file",
    ("record/events_mark.py", "line_before"): "the lines of a log",
    ("record/events_mark.py", "lines_backwards"): "the lines of a log",
    ("record/rebuilding.py", "_lines"): "the lines of a log",
    ("schemas.py", "_without_notes"): "docstrings of models",
    ("secrets/declared.py", "looks_secret"): "names of environment variables",
    ("record/relocation.py", "Relocation.hidden"): "a path that an operator named",
    ("secrets/private_file.py", "_prune"): "names of files",
    ("selftest/checks.py", "_mount_of"): "paths",
    ("selftest/sweep.py", "_ended"): "notes that a script of the self-test writes",
    ("stages/artifacts.py", "_judge_open"): "a path that an operator named",
    ("stages/output_files.py", "_found"): "names of files",
    ("stages/output_files.py", "latest_logs"): "names of files",
    ("stages/output_files.py", "verification_logs_of"): "names of files",
    ("text/units.py", "measured"): "what an operator wrote",
    ("text/units.py", "is_bare"): "what an operator wrote",
    ("text/units.py", "_milliseconds"): "what an operator wrote",
    ("text/units.py", "_bytes"): "what an operator wrote",
    ("text/units.py", "span_words"): "leaves out zero seconds where the text is made",
    ("vocabulary.py", "Operation.stage"): "the name of an operation, PART.ACTION, as in records",
}
"""Functions that take foreign text apart, and the text that each reads."""


class Place(NamedTuple):
    """A call that takes text apart."""

    file: str
    function: str
    call: str


def places(file: str, source: str) -> Iterator[Place]:
    """Yield every call in a file that takes text apart."""

    def visit(node: ast.AST, function: str) -> Iterator[Place]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            function = node.name if function == "<module>" else f"{function}.{node.name}"
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in TAKES_APART
            and ast.unparse(node.func.value) != "sys.platform"
        ):
            yield Place(file, function, ast.unparse(node))
        for child in ast.iter_child_nodes(node):
            yield from visit(child, function)

    return visit(ast.parse(source), "<module>")


@pytest.fixture(scope="module")
def found() -> tuple[Place, ...]:
    """Return every call in the package that takes text apart."""
    return tuple(
        place
        for path in sorted(ROOT.rglob("*.py"))
        for place in places(path.relative_to(ROOT).as_posix(), path.read_text())
    )


def test_calls_that_take_text_apart_are_seen() -> None:
    """Methods of text, `re` and its patterns are seen, in methods and nested functions too."""
    source = """
WORDS = TEXT.split()
class Reader:
    def read(self, text):
        def inner():
            return re.sub("a", "b", text).strip()
        return sys.platform.startswith("linux") or inner()
"""
    assert list(places("a.py", source)) == [
        Place("a.py", "<module>", "TEXT.split()"),
        Place("a.py", "Reader.read.inner", "re.sub('a', 'b', text)"),
    ]


def test_only_foreign_text_is_taken_apart(found: tuple[Place, ...]) -> None:
    """Each call that takes text apart is in a table, with the foreign text that it reads."""
    unknown = [
        f"{file}: {function} takes text apart: {call}"
        for file, function, call in found
        if file not in FILES and (file, function) not in ALLOWED
    ]
    assert not unknown, "\n".join(
        (
            *unknown,
            "If this program wrote the text, give the value a field for what is read here, and",
            "make the sentence of it where it is shown. If the text is foreign (a file, a process,",
            "an argument, a library's message), say in ALLOWED which.",
        )
    )


def test_tables_list_only_what_is_there(found: tuple[Place, ...]) -> None:
    """A function or file that no longer takes text apart is removed from the tables."""
    functions = {(file, function) for file, function, _ in found if file not in FILES}
    gone = {*(ALLOWED.keys() - functions), *(FILES.keys() - {file for file, *_ in found})}
    assert not gone, f"take these out of the tables, nothing is taken apart there: {gone}"
