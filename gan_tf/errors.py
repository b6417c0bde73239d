"""`UsageError`, the exception for mistakes of the user."""


class UsageError(ValueError):
    """A mistake that the user can fix. The message is one line with the argument, its value and the fix.

    The command line prints it without a traceback and exits with code 2. Other exceptions are bugs and keep their
    traceback.
    """
