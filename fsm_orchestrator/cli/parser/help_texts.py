"""The help texts of the commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fsm_orchestrator.vocabulary import SchemaName

GROUP_HELP = """Run binaries as stages of a declared state machine: gates first, every transition
durable, a report a supervisor can trust.

\b
  fsm-orchestrator run OUT ...   run or resume; the word `run` may be omitted
  fsm-orchestrator plan OUT ...  what would run, and why
  fsm-orchestrator status [OUT]  where a run stands
  fsm-orchestrator verify FILE   what a lifecycle promises, proved
"""
_RUN_EXAMPLE: Final = """\b
Example:
  fsm-orchestrator run ./out \\
    --policy-status allow --ci-status success --review-status approved \\
    --manager-bin echo --manager-arg planned --executor-bin true
  fsm-orchestrator run ./out --resume
"""
_RUN_EXIT_CODES: Final = """\b
Exit codes:
  0 done       2 usage error or refused request: nothing was written
  1 failed     75 busy: another orchestrator works in OUT
  3 blocked    129, 130, 131, 143 ended by SIGHUP, SIGINT, SIGQUIT, SIGTERM
  124 timeout  70 internal error, a bug
"""
SHORT_HELP: Final[Mapping[str, str]] = {
    "run": f"""Run the stages of a lifecycle behind their gates, or resume the run in OUT.
--help-all explains each option; `init` writes a file: --config run.toml.

{_RUN_EXAMPLE}
{_RUN_EXIT_CODES}""",
    "plan": """Show what a run or a resume would do, per gate and stage, and why. Starts nothing.
--help-all explains each option.

\b
Example:
  fsm-orchestrator plan ./out --config run.toml --ci-status success
""",
}
"""The `--help` texts of the commands with more options than fit on a screen; `HELP` has all."""
HELP: Final[Mapping[str, str]] = {
    "run": f"""Run the stages of a lifecycle behind their gates, or resume a run.

OUT holds the run: report, checkpoint, events, logs. It is created if needed; an earlier run in it
is moved to OUT/archive.

{_RUN_EXAMPLE}
{_RUN_EXIT_CODES}""",
    "plan": """Show what a run or a resume would do, per gate and stage, and why.

Takes the options of `run`, and shows a line for each stage; with --all, each command, limit and
file. Starts nothing and writes nothing.

\b
Example:
  fsm-orchestrator plan ./out --config run.toml --ci-status success
""",
    "fleet": """Run the runs of FILE, some at a time, each in its own directory below --dir.

FILE is TOML: a table [defaults], and for each run a table headed [[run]] with a name and whatever a
config file can say; or JSON, a run on each line; - is stdin. Each run is as durable and contained
as alone. Started again, continues where it was: skips runs that are done, resumes those that were
interrupted, leaves unchanged those that ended otherwise. Writes DIR/fleet.json.

\b
Examples:
  fsm-orchestrator fleet nightly.toml --jobs 4
  fsm-orchestrator fleet nightly.toml --retry-failed
  fsm-orchestrator fleet nightly.toml --engine temporal

\b
Exit codes, the worst of all runs in this order:
  70 internal error   1 failed   124 timed out   3 blocked   0 all done
""",
    "status": """Show where the run in OUT stands, and what to type next; of many runs, a list.

Without OUT, the current directory. For several OUT, for a directory that holds output directories,
and with any option for a list: how many runs stand where, then a line for each, the worst first:
where it stands, for how long, how long it took, and why: the error, what it waits for, what is at
work. With --run-id, shows how an archived run ended.

\b
Exit codes:
  0 every run that is listed could be read, and none stands where --fail-if says
  1 one could not be read, or stands there

\b
Examples:
  fsm-orchestrator status ./out
  fsm-orchestrator status ./runs --state failed,timeout --since 24h
  fsm-orchestrator status ./runs --json --fail-if failed,timeout,blocked
""",
    "watch": """Watch the runs in DIR, those that need a person first.

Without DIR, the current directory. Shows on a terminal, redrawn in place: runs that wait or are
blocked, since when, and the next command; those that failed, and why; those at work, how long of
what they may take, and their last line; and how many are done. Elsewhere, with TERM=dumb, in CI
and with --plain, prints a line for each change. Reads only. Looks again twice a second, and less
often where that would take much of a processor; a run that comes or goes is noticed.

\b
Exit codes:
  130 ended by Ctrl-C; by another signal 128 and its number
  0 nobody reads any longer

\b
Example:
  fsm-orchestrator watch ./runs --state waiting,blocked,failed
""",
    "gates": """Ask the sources of all gates, as a run would, and show what they say.

For the run in OUT, or for one that a config file would make. Starts no stage, writes nothing, and
takes no lock. Shows what a command that refuses has printed last. With --watch, asks again until
every gate is decided: waits for what is not found, missing or pending. Redraws the table on a
terminal, and elsewhere prints a line for each change; with --json, prints one document at the end.

\b
Exit codes:
  0 every gate passes
  3 a gate refuses

\b
Example:
  fsm-orchestrator gates --config run.toml
""",
    "wait": """Wait until the gates that block the run in OUT are decided.

Holds nothing and writes nothing: people may take days to answer, and the machine may go down in
the meantime. Wakes up when an approval, a statement, a test report or the record changes. Where the
file system does not report what other hosts change, looks every 5 seconds; asks a source that has
no files every 10. Ends when another resume brings a typed signal. Waits for a run at work first.

\b
Exit codes:
  0 the gates passed; or the run is done
  3 a gate is refused, or what it was asked for has expired
  124 not decided in time
With --resume the exit code is that of the resume.

\b
Example:
  fsm-orchestrator wait ./out --timeout 8h --resume
""",
    "approve": """Approve what a gate of the run in OUT asks for, with an SSH key.

Shows what is asked: what it is about, what the artifacts say, the commands that would run, what has
changed since the last answer, and who else has answered. Asks on a terminal; without one it needs
--digest, the digest that the request shows. Signs with ssh-keygen, and keeps the answer in
OUT/approvals. Refuses to answer for a stage.

\b
Examples:
  fsm-orchestrator approve ./out --reason "read it twice"
  fsm-orchestrator approve --request review.1.request.json --out review.approval
  fsm-orchestrator approve ./out --from review.approval

\b
Exit codes:
  0 kept   1 not signed   2 refused: it would not count, or nothing is asked
""",
    "deny": """Deny what a gate of the run in OUT asks for, with an SSH key.

A denial holds for this request, no matter who else approves it, until the same person withdraws it.

\b
Example:
  fsm-orchestrator deny ./out --reason "drops a table"
""",
    "withdraw": """Take back what you have said to the request of a gate, approval or denial.

\b
Example:
  fsm-orchestrator withdraw ./out
""",
    "serve": """Show the runs below DIR in a browser, live: a local page that only reads.

Prints the address of the page, and serves it until Ctrl-C. Listens on 127.0.0.1 alone; the address
holds a secret, new each time: anyone who has it can read what the page shows. DIR may also be the
OUT of one run. Needs the extra `web`: pip install 'fsm-orchestrator[web]'.

\b
Example:
  fsm-orchestrator serve ./fleet
""",
    "explain": """Explain why the run in OUT stands where it does, who can change it, and what
to type next.

Without OUT, the run in the current directory. Shows in a dozen lines the cause with the stage's
last words, the remedy and the exact next command; with --all everything, each gate and each attempt
of each stage included. Starts nothing and writes nothing.

\b
Example:
  fsm-orchestrator explain ./out
""",
    "logs": """Show what the stages of the run in OUT print, each line with its stage.

Without OUT, the run in the current directory; to name a stage, name OUT as well.
`manager | text` was printed to stdout, `manager ! text` to stderr, `manager.2 |` by attempt 2.
Secrets are masked, and so are other environment values as long as they are kept: until the run is
done. Nothing is shown while a secret of the run is not set here. A pipe gets all other bytes as
they were printed, but no colors unless FORCE_COLOR is set; a terminal gets the latest state of a
progress bar, colors if it may have them, and every other control character made visible. --grep
searches what is shown, a line of more than 8 KiB in pieces. With --follow, new output is printed
until the run has ended.

\b
Example:
  fsm-orchestrator logs ./out --follow
""",
    "stop": """Stop the run at work in OUT as SIGTERM would, wait for it, and report how it ended.

A run inside another program ends alone: that program continues.

\b
Example:
  fsm-orchestrator stop ./out

\b
Exit codes:
  0 no run is at work there now   1 it did not end in time
  2 OUT is not the directory of a run
""",
    "report": """Print the report of the run in OUT as JSON, or write it as a web page with --html.

On a terminal, shows what a supervisor asks of it instead. Without OUT, the run in the current
directory.
A page needs the extra `html`: pip install 'fsm-orchestrator[html]'.

\b
Example:
  fsm-orchestrator report ./out --html page.html
""",
    "init": """Write what a first run needs to DIR, and print what to type next.

With --stages or --from, DIR gets a lifecycle that is proved, a config file and, for --stages, a
script for each stage; DIR is then the current directory unless given, and commands run in it.
Without them, it gets a config file and two stub stages of the default lifecycle. No existing file
is overwritten: if one is in the way, nothing is written.

\b
Examples:
  fsm-orchestrator init . --stages plan,apply --approve-before apply
  fsm-orchestrator init nightly --from "make plan" "make apply"
""",
    "config": """Check a config file, or show what a run would use and where it was set.

\b
Example:
  fsm-orchestrator config check run.toml
""",
    "telemetry": """Send a run to OpenTelemetry: traces, metrics and logs of its invocations.

A run with --telemetry is sent automatically once it has ended; this sends what was not taken then.
It goes to OTEL_EXPORTER_OTLP_ENDPOINT, or to http://localhost:4318.

\b
Example:
  fsm-orchestrator telemetry export ./out
""",
    "selftest": """Check whether the program keeps its promises on this machine, in this directory.

Checks locks, atomic replacement, fsync, whether a rewritten artifact can be distinguished from a
leftover, containment, and runs of harmless stages that are killed and resumed, all in a scratch
directory below OUT that is removed afterwards. Meant for network, overlay and container file
systems, before they hold runs.

\b
Example:
  fsm-orchestrator selftest /srv/runs

\b
Exit codes:
  0 no promise is broken   1 one is: do not keep runs there
  2 OUT cannot be written
""",
    "lifecycle": """Print a lifecycle, as a start for your own; or write out all of it.

LIFECYCLE is a name or a path, as for --lifecycle; without one, the built-in ones are listed. The
format is explained in states/README.md.

\b
Examples:
  fsm-orchestrator lifecycle governed_run > own.toml
  fsm-orchestrator lifecycle ./own.toml --expand
""",
    "verify": """Prove what lifecycles promise, or show the walks that break a promise.

LIFECYCLE is a name or a path, as for --lifecycle; without any, all built-in lifecycles.

\b
Example:
  fsm-orchestrator verify ./own.toml

\b
Exit codes:
  0 all are proved   1 one is refused
  2 one cannot be read, or is not a lifecycle
""",
    "completion": """Print the script with which a shell completes commands, options and values.

SHELL is bash, zsh or fish. For completion in every new shell, add one line to its start file:

\b
  ~/.bashrc                   eval "$(fsm-orchestrator completion bash)"
  ~/.zshrc, below compinit    eval "$(fsm-orchestrator completion zsh)"
  ~/.config/fish/config.fish  fsm-orchestrator completion fish | source
""",
    "schema": f"""Print the JSON Schema of a file that the program writes or reads.

NAME is one of {", ".join(SchemaName)};
without it, they are listed.

\b
Example:
  fsm-orchestrator schema report > report.schema.json
""",
    "diagram": """Draw a lifecycle, a run over it, or what differs between two.

LIFECYCLE is a name or a path, as for --lifecycle; with --run, that of the run. SVG and PNG need
the extra `diagrams`: pip install 'fsm-orchestrator[diagrams]'.

\b
Examples:
  fsm-orchestrator diagram reviewed_run -o reviewed_run.svg
  fsm-orchestrator diagram reviewed_run --style simple -o meeting.svg
  fsm-orchestrator diagram --run ./out -o run.png
  fsm-orchestrator diagram --diff old.toml ./new.toml --format markdown

\b
Exit codes:
  0 drawn   1 the change loosens   2 usage error
""",
}
