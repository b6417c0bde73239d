"""The fault matrix: runs of two workers that meet one fault each, and what becomes of them.

Every test here tells one row of a table, which the test run prints at its end and README shows (`table.py`). Each
asks the same: those who survive end within a minute, with a line and a code of their own; no more work is lost than
`--checkpoint-minutes`; and the run that is started again becomes the run that was never disturbed, bit for bit.
"""
