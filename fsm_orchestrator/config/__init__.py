"""What was asked (options, file, Python), and what each stage therefore runs with.

Face: `run_config`, `config_file`, `config_reading`, `config_text`, `stage_settings`,
`stage_record`.
May import: `gates`, `lifecycle`, `secrets` and below.
"""
