"""The one exception that reaches a user."""


class UserError(Exception):
    """What a user can mend: one line that names the file or key and the remedy.

    The commands print it without a traceback and exit with status 2.
    """
