"""A run on disk: checkpoint, report and event log, written durably and read without being trusted.

Face: `checkpoint`, `checkpoint_reader`, `report`, `report_reader`, `recorder`, `event_log`,
`events`, `events_mark`, `closure`, `kept`.
May import: `stages`, `config`, `gates`, `lifecycle` and below.
"""
