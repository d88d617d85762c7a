"""Errors that a user can cause. Each message is one line: what is wrong, where, what to do."""


class UserError(ValueError):
    """Base of every error that the command line reports without a traceback (exit code 2).

    A message may quote names and contents of files. What in it is not a printable character, such
    as a line break or a terminal's control sequence, is written as its escape.
    """

    def __init__(self, message: str = ""):
        super().__init__("".join(map(_printable, message)))


class ConfigError(UserError):
    """A setting is unknown, misspelt or out of range."""


class DataError(UserError):
    """A data folder, list file or video is missing, broken or too small."""


class WeightsError(UserError):
    """A weight file lacks tensors, has unknown ones, or has tensors of another shape."""


class CheckpointError(UserError):
    """A checkpoint is missing, damaged or was made with other settings."""


class Stopped(Exception):
    """Training was asked to stop (SIGTERM) and has saved its state (exit code 143)."""


def _printable(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()
