"""What was asked (options, file, Python), and what each stage therefore runs with.

Face: `run_config`, `config_file`, `config_text`, `stage_settings`.
May import: `gates`, `lifecycle`, `secrets` and below.
"""
