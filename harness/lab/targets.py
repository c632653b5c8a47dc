"""labgrid's target, made from lab.yaml: what labgrid raises on the way is told as whose fault it is."""

from typing import Any

from labgrid.binding import BindingError, StateError
from labgrid.driver.exception import ExecutionError
from labgrid.exceptions import InvalidConfigError, NoSupplierFoundError, RegistrationError
from labgrid.remote.client import ServerError, UserError

from harness.errors import ConfigError, LabError
from harness.strategy import RaspberryPiStrategy

# The last three are what classes raise for arguments that no validator knows to be wrong.
CONFIG = (
    InvalidConfigError, NoSupplierFoundError, RegistrationError, BindingError, StateError,
    LookupError, TypeError, ValueError,
)  # fmt: skip
BENCH = (ServerError, UserError, ExecutionError, OSError)


def strategy_of(env: Any, name: str) -> RaspberryPiStrategy:
    """Make target *name* of the labgrid Environment *env* and return its strategy.

    ConfigError when lab.yaml describes no such target, LabError when the bench or its coordinator does not answer;
    both with the target's name and labgrid's own words.
    """
    try:
        target = env.get_target(name)
        strategy = target.get_strategy() if target else None
    except BENCH as error:
        raise LabError(f"{name}: {_words(error)}", hint=_hint(error)) from error
    except CONFIG as error:
        words, cause = _words(error), _words(error.__cause__) if error.__cause__ else ""
        evidence = [cause] if cause not in words else []
        raise ConfigError(f"{name}: {words}", evidence=evidence, hint="see the target in lab.yaml") from error
    if target is None:
        raise ConfigError(f"{name}: labgrid knows no such target", hint="see `targets:` in lab.yaml")
    if not isinstance(strategy, RaspberryPiStrategy):
        raise ConfigError(
            f"{name}: its strategy is a {type(strategy).__name__}",
            hint="`RaspberryPiStrategy: {}` among its drivers in lab.yaml",
        )
    return strategy


def _words(error: BaseException) -> str:
    """Return what *error* says; labgrid appends all arguments of a class, a password among them: cut off."""
    if isinstance(error, InvalidConfigError):
        return str(error.msg).partition(" using {")[0]
    if isinstance(error, OSError | LookupError | TypeError | ValueError):
        return f"{type(error).__name__}: {error}"
    return str(getattr(error, "msg", None) or " ".join(map(str, error.args)) or type(error).__name__)


def _hint(error: BaseException) -> str:
    if isinstance(error, ServerError):
        return "is the coordinator running? LG_COORDINATOR, --lg-coordinator or `coordinator_address` name it"
    if isinstance(error, UserError):
        return "`labgrid-client places` shows the places, `labgrid-client -p PLACE acquire` takes one"
    return ""
