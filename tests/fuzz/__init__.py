"""Readers of files that may come from anyone, held against thousands of damaged and malicious ones.

    python -m tests.fuzz                       # 2,000 inputs for each reader
    python -m tests.fuzz npz zip --count 20000
    python -m tests.fuzz zip --only 1234       # one input again, with the traceback of what goes wrong

An input is a pure function of the reader's name and its number: a valid file (`seeds.py`) in which bytes, lengths,
fields or values were changed (`mutate.py`, `archives.py`). A reader may return, or refuse in one clean line. Anything
else, more than the stated time or memory, or the death of the process is a finding (`hunt.py`).
"""
