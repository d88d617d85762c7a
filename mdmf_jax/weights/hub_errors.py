"""What huggingface_hub and the network say, in one line that tells what to do."""

import contextlib
import os
from collections.abc import Iterator

from mdmf_jax.errors import WeightsError
from mdmf_jax.web import plain

# What huggingface_hub speaks through; the names have changed and have numbers behind them.
_LIBRARIES = ("requests", "httpx", "httpcore", "huggingface_hub", "urllib3", "hf_xet")


def endpoint() -> str:
    """Address of the hub: $HF_ENDPOINT, or the public one."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def bring(name: str) -> str:
    """How to bring a model where there is no network."""
    return (
        f"on a machine with a network call `mdmf weights fetch {name} --out=DIR`, copy DIR here "
        "and give --encoder=DIR (--config.encoder.path=DIR); by hand, DIR takes config.json, "
        "model.safetensors (or pytorch_model.bin), vocab.json and merges.txt from "
        f"{endpoint()}/{name}"
    )


@contextlib.contextmanager
def one_line(name: str, revision: str) -> Iterator[None]:
    """Turns what huggingface_hub and the network say into one line."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as problem:
        raise WeightsError(
            f"{name}: its owner asks for consent first; give it at {endpoint()}/{name}, then log "
            "in with `hf auth login`"
        ) from problem
    except errors.RepositoryNotFoundError as problem:
        raise WeightsError(
            f"{name}: no such folder here, and {endpoint()} has no such model (or it is private: "
            "log in with `hf auth login`); check the name"
        ) from problem
    except errors.RevisionNotFoundError as problem:
        raise WeightsError(
            f"{name}: has no revision {revision!r}; see {endpoint()}/{name}/commits"
        ) from problem
    except Exception as problem:
        if not is_of_network(problem):
            raise
        raise WeightsError(
            f"{name}: {endpoint()} cannot be reached or broke off ({plain(_first(problem))}); "
            f"call again to go on, or {bring(name)}"
        ) from problem


def _first(problem: BaseException) -> BaseException:
    """What began it: libraries wrap the reason several times."""
    while (cause := problem.__cause__ or problem.__context__) is not None:
        problem = cause
    return problem


def is_of_network(problem: Exception) -> bool:
    """Whether an exception comes from the network or the libraries that reach it."""
    modules = [cls.__module__ for cls in type(problem).__mro__]
    return isinstance(problem, ConnectionError | TimeoutError) or any(
        module.startswith(_LIBRARIES) for module in modules
    )
