"""`python -m fsm_orchestrator`: the command."""

from fsm_orchestrator.cli import main

main()
