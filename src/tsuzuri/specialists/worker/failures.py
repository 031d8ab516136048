"""What went wrong, in the words of the bus: a code, and whether another worker may well answer."""

from __future__ import annotations

from tsuzuri.core.errors import InputError, RecipeError, TsuzuriError
from tsuzuri.serving.engines.base import Overloaded
from tsuzuri.serving.models import PromptTooLong
from tsuzuri.specialists.messages import Failed


class Unsupported(InputError):  # noqa: N818 (named after what it says)
    """This model can't do it, whoever asks."""


def failure_of(error: Exception) -> Failed:
    """What a gateway is told of an error; of those that are not ours their type alone."""
    if isinstance(error, PromptTooLong):
        return Failed(code="too_long", message=error.message)
    if isinstance(error, Unsupported):
        return Failed(code="unsupported", message=error.message)
    if isinstance(error, InputError | RecipeError):
        return Failed(code="invalid", message=error.message)
    if isinstance(error, Overloaded):
        retry_after_s = error.retry_after_s
        return Failed(
            code="overloaded", message=error.message, is_retryable=True, retry_after_s=retry_after_s
        )
    message = error.message if isinstance(error, TsuzuriError) else type(error).__name__
    return Failed(code="engine_failed", message=message, is_retryable=True)


def handed_back() -> Failed:
    """The worker ends before the answer does."""
    return Failed(
        code="handed_back", message="its worker is being stopped: ask another one", is_retryable=True
    )


def deadline_passed() -> Failed:
    """Nobody waits for it any more."""
    return Failed(code="deadline", message="its time was over before anybody could begin with it")
