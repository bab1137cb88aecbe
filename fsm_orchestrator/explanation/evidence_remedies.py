"""The remedies for each problem of a gate's evidence, and its facts. Loaded with evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from fsm_orchestrator.explanation.explanation import Fact
from fsm_orchestrator.explanation.facts import FactName
from fsm_orchestrator.model.evidence import EvidenceProblem as Problem
from fsm_orchestrator.model.evidence import EvidenceRecord
from fsm_orchestrator.text.hidden import copyable

REMEDIES: Final[Mapping[Problem, str]] = {
    Problem.NOT_CONFIGURED: (
        "give the gate a source: [gate.NAME] in the config file, and resume with --config FILE"
    ),
    Problem.NOT_FOUND: "have the evidence made, or correct what the source names",
    Problem.NOT_STARTED: "correct the command of the gate, or make its program executable",
    Problem.TIMED_OUT: "raise the gate's timeout if that is justified, or make its check quick",
    Problem.EXIT_CODE: "read the log of the gate's command, and fix what it found",
    Problem.KILLED: "find out what ended the gate's command; its log may say",
    Problem.OUTPUT_LIMIT: "make the evidence smaller, or raise output_limit",
    Problem.NOT_JSON: "have the evidence made again: it is not valid JSON",
    Problem.NOT_A_STATEMENT: "have the evidence made again in the form that the source reads",
    Problem.WRONG_PREDICATE: "name a statement whose predicate is one that this gate reads",
    Problem.WRONG_SUBJECT: (
        "have the evidence made for what the run is about; if that has changed, start a new run"
    ),
    Problem.UNBOUND: (
        "declare what the run is about, in a new run (--subject-git, --subject-file, [subject]),"
        " and ask a source that can name it"
    ),
    Problem.UNSIGNED: "have the evidence signed, by a key that signed_by names",
    Problem.BAD_SIGNATURE: "find out who changed the evidence after it was signed",
    Problem.UNKNOWN_SIGNER: "have it signed by somebody whom signed_by names, or add the signer",
    Problem.NOT_YET_VALID: "set the clocks of this machine and of the issuer right",
    Problem.EXPIRED: "have the check made again: what it said has expired",
    Problem.TOO_OLD: "have the check made again: what it said is too old",
    Problem.NOTHING_CHECKED: "find out why nothing was tested: no test at all never passes",
    Problem.CHECK_MISSING: "have the checks made, or the approvals given, that are missing",
    Problem.CHECK_PENDING: "wait for the checks that are not done yet, then resume",
    Problem.CHECK_FAILED: "fix what the failing checks or the reviewers found",
    Problem.ENGINE_ERROR: (
        "do what is said above: what the gate needs is missing or broken, or cannot say"
    ),
    Problem.UNDEFINED: "have the policy say true or false, or correct the rule that is asked for",
    Problem.VACUOUS: "have the policy ask for something: it allows on an empty input",
    Problem.STALE: "look at what has changed, and have the new request approved",
    Problem.DENIED: "ask the person who denied it, who can take the denial back with withdraw",
    Problem.REVOKED: "have it signed with a key that is not revoked",
    Problem.SELF_APPROVAL: "have somebody else approve: the requester may not",
    Problem.QUORUM: "have more people approve: each with their own key",
    Problem.USED: "have the new request approved: an approval is for one cycle",
    Problem.WRONG_RUN: "have the request of this run approved",
    Problem.WRONG_CYCLE: "have the request of this cycle approved",
}

_OF_APPROVALS: Final[Mapping[Problem, str]] = {
    Problem.NOT_FOUND: "look at what is asked, and approve or deny it",
    Problem.UNSIGNED: "have it signed: only signed approvals count here",
    Problem.BAD_SIGNATURE: "find out who changed the approval after it was signed",
    Problem.UNKNOWN_SIGNER: "have it approved by somebody whom allowed_signers and principals name",
    Problem.EXPIRED: "have it approved again: the approval has expired",
}
"""The remedies that differ where the evidence is what people have said."""


def remedy_of(record: EvidenceRecord, problem: Problem) -> str:
    """Return the remedy for a problem of some evidence."""
    of_people = None if record.approval is None else _OF_APPROVALS.get(problem)
    return of_people or REMEDIES[problem]


def evidence_facts(record: EvidenceRecord, directory: str) -> Iterator[Fact]:
    """Yield the known facts of the evidence of a gate that refused."""
    if record.problem is not None:
        yield Fact(name=FactName.PROBLEM, value=record.problem.value)
    if record.log is not None:
        yield Fact(name=FactName.LOG, value=copyable(f"{directory}/{record.log}"))
    if record.file is not None:
        yield Fact(name=FactName.EVIDENCE, value=copyable(f"{directory}/{record.file}"))
