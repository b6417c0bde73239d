"""The fault matrix: runs of two workers with one fault each.

Every test is a row of the table in docs/distributed.md, which the test run prints at its end. Each checks that the
surviving workers end within a minute with a message and an exit code, that no more work is lost than
`--checkpoint-minutes`, and that the run, started again, becomes equal to an undisturbed run bit for bit; or, for faults
before the run is created, that no file was written.
"""
