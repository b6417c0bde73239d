"""Exceptions that the command line turns into one line and an exit code."""


class UsageError(ValueError):
    """An error that the user can fix: one line that names the setting, its value and the fix.

    The command line prints it without a traceback and exits with code 2. Any other exception is a defect of gan_tf and
    keeps its traceback.
    """


class Interrupted(Exception):
    """SIGINT or SIGTERM arrived; the work is saved and can be continued. The message is the signal's name."""


class Diverged(Exception):
    """Training failed in a way that continuing would not fix; the message describes it."""
