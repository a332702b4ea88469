"""The one kind of error a user can mend."""

from mpi_lowrank.choice import spell


class UserError(Exception):
    """A mistake in a configuration, a file, an option or a launch.

    Its text is one line that names what is wrong, where, and what was expected. The command line
    prints it once as `mpi-lowrank: error: ...` and ends with a non-zero status on every rank.
    """


class OptionError(UserError):
    """A component's option with an impossible value; the configuration adds the file and key."""

    def __init__(self, option: str, value: object, allowed: str):
        super().__init__(f"{option} = {value!r}: allowed is {allowed}")
        self.option, self.value, self.allowed = option, value, allowed


class KeyProblem(Exception):
    """A key of a configuration that is not what is allowed; who reads the file adds its name."""

    def __init__(self, key: str, value: object, allowed: str):
        super().__init__(f"{key} = {spell(value)}: allowed is {allowed}")
