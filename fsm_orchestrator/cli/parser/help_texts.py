"""What each command says of itself in its help."""

from __future__ import annotations

from fsm_orchestrator.vocabulary import SchemaName

RUN_HELP = """Run the stages of a lifecycle behind their gates, or resume a run.

OUT holds the run: report, checkpoint, events, logs. It is made if need be; an earlier run in it
is moved to OUT/archive.

\b
Example:
  fsm-orchestrator run ./out \\
    --policy-status allow --ci-status success --review-status approved \\
    --manager-bin /bin/sh --manager-arg -c --manager-arg 'echo planned' \\
    --executor-bin /bin/sh --executor-arg -c --executor-arg 'echo applied'
  fsm-orchestrator run ./out --resume

\b
Exit codes:
  0 done       2 usage error or refused request: nothing was written
  1 failed     75 busy: another orchestrator works in OUT
  3 blocked    129, 130, 143 interrupted by SIGHUP, SIGINT, SIGTERM
  124 timeout  70 a bug of ours
"""
PLAN_HELP = """Say what a run or a resume would do, per gate and stage, and why.

Takes the options of `run`. Nothing is started and nothing is written.
"""
STATUS_HELP = """Say where the run in OUT stands, and what to type next.

Of several OUT, and of a directory that holds output directories, one line a run: its outcome or
state, for how long, the attempt at work, what keeps it from closing, and the last line that was
printed. With --run-id, how an archived run ended.
"""
EXPLAIN_HELP = """Say why the run in OUT stands where it does, who can change it, and what to type.

The cause first, with its evidence, the remedy and the exact next command; then each gate and each
stage. Reads only; nothing is started and nothing is written.
"""
LOGS_HELP = """Show what the stages of the run in OUT print, each line after its stage.

`manager | text` was printed to stdout, `manager ! text` to stderr. Control characters are made
visible, and environment values are masked as long as they are kept: until the run is done. With
--follow also what is still to come, until the run has ended.
"""
STOP_HELP = """End the run at work in OUT as SIGTERM would, wait for it, and say how it ended.

\b
Exit codes:
  0 no run is at work there now   1 it has not ended in time   2 OUT is no run's directory
"""
REPORT_HELP = """Print the report of the run in OUT as JSON, or make a page of it with --html.

A page needs the extra `html`: pip install 'fsm-orchestrator[html]'.
"""
INIT_HELP = """Write a config file and two stub stages to DIR, and print what to type next.

Nothing that is there is overwritten.
"""
CONFIG_HELP = """Check a config file, or show what a run would use and where it was set."""
SELFTEST_HELP = """Check whether the promises hold on this machine, in this directory.

Locks, atomic replacement, fsync, containment, and runs of harmless stages that are killed and
resumed, all in a scratch directory below OUT that is removed again. For network, overlay and
container file systems, before runs are kept there.

\b
Exit codes:
  0 nothing is broken   1 something is; do not keep runs there   2 OUT cannot be written
"""
LIFECYCLE_HELP = """Print a lifecycle that comes with the program, to begin your own from.

Without NAME, say which there are. The format is explained in states/README.md.
"""
VERIFY_HELP = """Prove what lifecycles promise, or show the walks on which they do not.

LIFECYCLE is a name or a path, as for --lifecycle; without any, all that come with the program.

\b
Exit codes:
  0 all are proved   1 one is refused   2 one cannot be read, or is no lifecycle
"""
COMPLETION_HELP = """Print the script that makes a shell complete commands, options and values.

SHELL is bash, zsh or fish. To have it in every new shell, put one line into its start file:

\b
  ~/.bashrc                   eval "$(fsm-orchestrator completion bash)"
  ~/.zshrc, below compinit    eval "$(fsm-orchestrator completion zsh)"
  ~/.config/fish/config.fish  fsm-orchestrator completion fish | source
"""
SCHEMA_HELP = f"""Print the JSON Schema of one of the shapes that are written or read.

NAME is one of {", ".join(SchemaName)}.
"""
GROUP_HELP = """Run binaries as stages of a declared state machine: gates first, every transition
durable, a report a supervisor can trust.

\b
  fsm-orchestrator run OUT ...   run or resume; the word `run` may be left out
  fsm-orchestrator plan OUT ...  what would run, and why
  fsm-orchestrator status OUT    where a run stands
  fsm-orchestrator verify FILE   what a lifecycle promises, proved
"""
