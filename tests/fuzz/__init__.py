"""Fuzzing of all readers of untrusted files: damaged and hostile files, no crash, no code of a file runs.

    make fuzz COUNT=5000                                                        # inputs for each reader
    python -c "from tests.fuzz.test_fuzz import fuzz; fuzz(['zip'], [1234])"    # one input again

An input is a function of the reader's name and a number: a valid file with changes (`mutate.py`). A reader may return,
or raise its own error with a clean line. Another exception, a process or code started by the file, or the death of the
process is a finding. `readers.py` has the readers and the valid files.
"""
