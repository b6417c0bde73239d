"""Exceptions that the command line turns into one line and an exit code, and these codes."""

# Exit codes of commands that fail or stop.
FAULT = 1  # a temporary error; another start may succeed
USAGE_ERROR = 2  # a wrong setting, which another start would not change
INTERRUPTED = 42  # stopped by a signal and saved; batch systems start the same command again
LOST_WORKER = 43  # another worker is lost; start all workers again


class UsageError(ValueError):
    """An error that the user can fix: one line that names the setting, its value and the fix.

    The command line prints it without a traceback and exits with code 2. Any other exception is a defect of gan_tf and
    keeps its traceback.
    """


class Interrupted(Exception):
    """SIGINT, SIGTERM or SIGHUP arrived; the work is saved and can be continued. The message is the signal's name."""


class Diverged(Exception):
    """Training failed in a way that continuing would not fix; the message describes it."""
