"""Fuzzing of all readers of untrusted files: damaged and hostile files, no crash, no code of a file runs.

    python -m tests.fuzz                       # 2,000 inputs for each reader
    python -m tests.fuzz npz zip --count 20000
    python -m tests.fuzz zip --start 1234 --count 1    # one input again

An input is a function of the reader's name and a number: a valid file (`seeds.py`) with changes (`mutate.py`). A reader
(`readers.py`) may return, or raise its own error with a clean line. Another exception, a process or code started by the
file, or the death of the process is a finding.
"""
