"""`init`: a directory to begin with: a config file, two stub stages, the command to type."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import command_line, shell_words
from fsm_orchestrator.disk import files
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.vocabulary import ExitCode

CONFIG_NAME: Final = "run.toml"

CONFIG: Final = """\
# What a run uses. Every option of `fsm-orchestrator run` can stand here; a flag wins over it.
# Paths are relative to the directory in which the command is typed.
# Check this file with: fsm-orchestrator config check run.toml
schema_version = 1

# How long each stage may run, in milliseconds, unless it says so itself.
timeout_ms = 30000

# The gates' signals. Leave them out of a file that is kept: they are the outcome of checks made
# for one run. A signal that is not given does not pass; of two, the tighter counts.
# [gates]
# policy = "allow"      # deny, unknown
# ci = "success"        # pending, failure, missing
# review = "approved"   # changes_requested, missing

[stage.manager]
bin = "./manager.sh"
args = ["add a greeting"]
# A stage has succeeded only if it exits 0 and has written these; .json must be strict JSON.
expected_artifacts = ["out/action_plan.json"]

[stage.executor]
bin = "./executor.sh"
args = []
expected_artifacts = ["out/result.txt"]
timeout_ms = 60000
# Values here are kept out of the run's report, log and checkpoint.
# env = { API_TOKEN = "..." }
"""

MANAGER: Final = """\
#!/bin/sh
# The manager plans. Replace this with your own program: any language, any binary.
# ORCHESTRATOR_OUTPUT_DIR, _RUN_ID, _STAGE, _ATTEMPT and _IDEMPOTENCY_KEY are in the environment.
set -eu
echo "planning: $1"
printf '{"goal": "%s", "actions": ["write"]}\\n' "$1" >"$ORCHESTRATOR_OUTPUT_DIR/action_plan.json"
"""

EXECUTOR: Final = """\
#!/bin/sh
# The executor carries out the plan. Exit non-zero to fail the run; a resume then comes back here
# and does not plan again.
set -eu
grep -q '"write"' "$ORCHESTRATOR_OUTPUT_DIR/action_plan.json"
echo "hello, attempt $ORCHESTRATOR_ATTEMPT" >"$ORCHESTRATOR_OUTPUT_DIR/result.txt"
"""

CONTENTS: Final = {
    CONFIG_NAME: (CONFIG, 0o666),
    "manager.sh": (MANAGER, 0o777),
    "executor.sh": (EXECUTOR, 0o777),
}


def init_command(parameters: Mapping[str, Any]) -> int:
    """Write the files; refuse to overwrite any."""
    typed = parameters["directory"]
    directory = Path(typed)
    present = [name for name in CONTENTS if os.path.lexists(directory / name)]
    if present:
        raise UsageError(
            f"{directory / present[0]} is there already; nothing was written",
            remedy="name a new directory",
        )
    try:
        files.make_directory(directory)
        for name, (content, mode) in CONTENTS.items():
            files.replace_file(directory / name, content.encode(), mode=mode)
    except OSError as error:
        raise UsageError(
            f"cannot write to {directory}: {files.reason(error)}",
            remedy="name a directory that you may write to",
        ) from error
    command = command_line("run", "./out", "--config", CONFIG_NAME)
    signals = "--policy-status allow --ci-status success --review-status approved"
    console.stdout().write(
        f"{typed}: {', '.join(CONTENTS)} written; {CONFIG_NAME} says what each setting means\n\n"
        "What would run, and why it would not yet (nothing is started):\n\n"
        f"  cd {shell_words(typed)}\n"
        f"  {command.replace(' run ', ' plan ', 1)}\n\n"
        "The run. A person or a check vouches for each signal; here you do:\n\n"
        f"  {command} \\\n    {signals}\n"
    )
    return ExitCode.DONE
