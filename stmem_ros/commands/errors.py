"""How a sub-command reports a mistake of its user."""


class CommandError(Exception):
    """One line that says what is wrong and what to do; printed without a traceback, exit code 1."""
