"""The request (options, file, Python), and the settings of each stage that follow from it.

Face: `run_config`, `config_file`, `config_reading`, `config_text`, `stage_settings`,
`stage_record`, `hidden_text`.
May import: `gates`, `lifecycle`, `secrets` and below.
"""
