"""The fault matrix: runs of two workers with one fault each.

Every test is a row of a table (`table.py`), which the test run prints at its end and the docs show. Each checks that
the surviving workers end within a minute with a message and an exit code, that no more work is lost than
`--checkpoint-minutes`, and that the run, started again, becomes equal to an undisturbed run bit for bit.
"""
