"""What is given of the verification of a stage."""

from fsm_orchestrator.config.given_types import Commands
from fsm_orchestrator.model.declared import BaseModel
from fsm_orchestrator.model.limits import Milliseconds, unset


class VerifyGiven(BaseModel):
    """The keys of a model that has what was given of it; null means not given."""

    verify: Commands | None = unset("verify")
    verify_timeout_ms: Milliseconds | None = unset("verify_timeout_ms")
    clean_env: bool | None = unset("clean_env")
    verify_unconfined: bool | None = unset("verify_unconfined")
