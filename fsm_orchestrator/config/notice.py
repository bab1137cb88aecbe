"""One `[[notify]]` of a config file: the ends that it reports, and the way."""

from __future__ import annotations

import os
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from fsm_orchestrator.config.given_types import NonEmptyText, Text
from fsm_orchestrator.gates.sources.base import Span
from fsm_orchestrator.model.base import StrictModel
from fsm_orchestrator.model.declared import (
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)
from fsm_orchestrator.model.told_ends import NoticeFormat, ToldEnd
from fsm_orchestrator.text.digest import sha256_of

NOTICE_TIMEOUT_MS: Final = 10_000
NOTICE_TIMEOUT_MS_MAX: Final = 60_000
_URL_CHARACTERS_MAX: Final = 2000
_CREDENTIAL_HOSTS: Final = frozenset({"hooks.slack.com"})
"""The hosts for which the URL itself is a credential."""

VariableName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=200)
]


class Notice(StrictModel):
    """The ends of a run to report, and the way: by a command, or by a webhook."""

    on: tuple[ToldEnd, ...] = Field(
        min_length=1,
        description="The ends that cause a notice, each by its word in `status`.",
    )
    command: Annotated[tuple[Text, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="A program and its arguments, no shell; it gets the notice as JSON on stdin. A"
        " relative path is relative to the file.",
    )
    webhook: Annotated[str, Field(max_length=_URL_CHARACTERS_MAX)] | None = Field(
        default=None,
        description="An http or https URL that the notice is posted to as JSON. It is kept in the"
        " record of the run: one that is a secret itself belongs in webhook_env or webhook_file.",
    )
    webhook_env: VariableName | None = Field(
        default=None, description="The variable that holds the URL, where that is a secret."
    )
    webhook_file: NonEmptyText | None = Field(
        default=None,
        description="A file, readable by its owner alone, that holds the URL.",
    )
    format: NoticeFormat = Field(
        default=NoticeFormat.JSON,
        description="The body of the webhook: the notice as JSON, or a message as Slack's incoming"
        " webhooks take it.",
    )
    secret_env: VariableName | None = Field(
        default=None, description="The variable that holds the secret a webhook is signed with."
    )
    secret_file: NonEmptyText | None = Field(
        default=None,
        description="A file, readable by its owner alone, with the secret a webhook is signed"
        " with.",
    )
    timeout: Annotated[Span, Field(le=NOTICE_TIMEOUT_MS_MAX)] = Field(
        default=NOTICE_TIMEOUT_MS,
        description="How long notifying may take, including tries and the pauses between them; at"
        " most a minute.",
    )
    directory: NonEmptyText | None = Field(
        default=None,
        description="The directory that the command runs in; the file's own unless given.",
    )

    @field_validator("webhook")
    @classmethod
    def _is_open_url(cls, given: str | None) -> str | None:
        if given is None:
            return None
        problem = problem_with_url(given)
        if problem is not None:
            raise ValueError(problem)
        if urlsplit(given).hostname in _CREDENTIAL_HOSTS:
            raise ValueError(
                "is a credential, and would be in the record: name a variable or a file that"
                " holds it, webhook_env or webhook_file"
            )
        return given

    @model_validator(mode="after")
    def _is_one_way(self) -> Self:
        ways = (self.command, self.webhook, self.webhook_env, self.webhook_file)
        if sum(one is not None for one in ways) != 1:
            raise ValueError("needs one of command, webhook, webhook_env and webhook_file")
        if self.command is not None:
            if not self.command[0]:
                raise ValueError("has an empty program")
            is_of_webhook = self.secret_env or self.secret_file
            if is_of_webhook or self.format is not NoticeFormat.JSON:
                raise ValueError("has a key for webhooks besides its command")
        elif self.directory is not None:
            raise ValueError("has a directory, and no command to run in it")
        if self.secret_env is not None and self.secret_file is not None:
            raise ValueError("needs one of secret_env and secret_file, not both")
        return self

    def based(self, directory: str) -> Self:
        """Return the notice with absolute paths; a bare name is looked up on PATH."""
        changes: dict[str, object] = {}
        for key in ("webhook_file", "secret_file"):
            named = getattr(self, key)
            if named is not None:
                changes[key] = os.path.join(directory, named)
        if self.command is not None:
            program, *arguments = self.command
            if os.sep in program:
                program = os.path.join(directory, program.removeprefix(f"{os.curdir}{os.sep}"))
            changes["command"] = (program, *arguments)
            changes["directory"] = os.path.normpath(os.path.join(directory, self.directory or ""))
        return self.model_copy(update=changes)

    @property
    def words(self) -> str:
        """The way, for people, without arguments and without the credentials in a URL."""
        if self.command is not None:
            return f"command {self.command[0]}"
        if self.webhook_env is not None:
            return f"webhook of ${self.webhook_env}"
        if self.webhook_file is not None:
            return f"webhook in {self.webhook_file}"
        parts = urlsplit(self.webhook or "")
        return f"webhook {parts.scheme}://{parts.netloc}"

    @property
    def all_words(self) -> str:
        """The ends and the way: a line of `config show`."""
        ends = ", ".join(one.value for one in self.on)
        return f"{ends}: {self.words}"

    @property
    def name(self) -> str:
        """The identity of this way of reporting, the same in all invocations of a run."""
        ways = (*(self.command or ()), self.webhook, self.webhook_env, self.webhook_file)
        return sha256_of("\0".join(one or "" for one in (*ways, self.format)).encode())[:16]


def problem_with_url(given: str) -> str | None:
    """Return why nothing can be posted to a URL, or None if it can."""
    try:
        parts = urlsplit(given)
        is_good = parts.scheme in {"http", "https"} and bool(parts.hostname)
        parts.port  # noqa: B018 - it is read when it is asked for
    except ValueError:
        is_good = False
    if not is_good or not given.isascii() or not given.isprintable() or " " in given:
        return "should be an http or https URL"
    if parts.username is not None or parts.password is not None:
        return "should hold no user name and no password"
    return None
