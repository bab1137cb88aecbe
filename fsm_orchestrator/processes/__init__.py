"""One process and its descendants: started, contained, watched, ended, inspected.

Face: `runner`, `command`, `adoption`, `interrupts`, `keeper_pool`, `leftovers`, `pidfds`,
`observing`, `polling`, `table`, `undumpable`, `snapshots`, `survivors`, `postmortem`,
`output_watch`, `ancestry`, `lockers`.
May import: `secrets`, `model`, `disk`, the clock and below.
"""
