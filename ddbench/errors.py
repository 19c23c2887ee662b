"""Errors a user can mend: each message says what was expected, what came and what to do."""


class DDBenchError(Exception):
    """Base of every error the command line reports as one line with exit code 2."""


class BadInputError(DDBenchError, ValueError):
    """A value, file or option that cannot be used as given."""


class UnknownNameError(DDBenchError, LookupError):
    """A name that no registry entry has."""


class DataMissingError(DDBenchError, FileNotFoundError):
    """Data that is not on this machine; the message names the command that fetches it."""


class DataMismatchError(DDBenchError):
    """Data that is there but is not what it should be: fingerprint, checksum, shape or class count."""


class UnsupportedError(DDBenchError):
    """A combination a method declares it cannot do; the message is the reason."""
