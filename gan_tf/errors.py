"""The one exception that is the user's to mend."""


class UsageError(ValueError):
    """A mistake that the user can mend: one line naming the argument, the value and the remedy.

    The command line prints it without a traceback and exits with code 2. Every other exception is a defect of ours
    and keeps its traceback.
    """
