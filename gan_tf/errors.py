"""The exception for mistakes that the user can fix."""


class UsageError(ValueError):
    """A mistake in the user's input. The message is one line with the setting, its value and the fix.

    The command line prints it without a traceback and exits with code 2. All other exceptions are bugs of this
    project and keep their traceback.
    """
