"""`init`: a directory to start from: a config file, two stub stages and the next command."""

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
# The settings of a run. Every option of `fsm-orchestrator run` can be set here; a flag wins.
# Paths are relative to the directory in which the command is typed.
# Check this file with: fsm-orchestrator config check run.toml
schema_version = 1

# How long each stage may run, in milliseconds, unless it has a timeout of its own.
timeout_ms = 30000

# The signals of the gates. Leave them out of a file that you keep: they are the results of checks
# made for one run. A signal that is not given does not pass; of two, the tighter counts.
# [gates]
# policy = "allow"      # deny, unknown
# ci = "success"        # pending, failure, missing
# review = "approved"   # changes_requested, missing

[stage.manager]
bin = "./manager.sh"
args = ["add a greeting"]
# A stage succeeds only if it exits 0 and has written these; a .json file must be strict JSON.
expected_artifacts = ["out/action_plan.json"]

[stage.executor]
bin = "./executor.sh"
args = []
expected_artifacts = ["out/result.txt"]
timeout_ms = 60000
# These values are kept out of the run's report, log and checkpoint.
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
    """Write the files; refuse to overwrite any of them."""
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
        f"{typed}: wrote {', '.join(CONTENTS)}; {CONFIG_NAME} explains each setting\n\n"
        "To see what would run, and why it would not run yet (this starts nothing):\n\n"
        f"  cd {shell_words(typed)}\n"
        f"  {command.replace(' run ', ' plan ', 1)}\n\n"
        "To run it. Each signal should come from a person or a check; here you give it:\n\n"
        f"  {command} \\\n    {signals}\n"
    )
    return ExitCode.DONE
