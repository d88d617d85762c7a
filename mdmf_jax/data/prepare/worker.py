"""The program of a worker process of `prepare`: decodes one video after the other.

It reads tasks from standard input, one JSON object a line, and answers each with one line: what
became of the video. It ends when its input ends, in the middle of a task too, so that nothing
is left at work when the main process was killed.
"""

import errno
import json
import os
import queue
import resource
import signal
import sys
import threading

from mdmf_jax.data.prepare.decode import Images, Limits, decode_to_stage
from mdmf_jax.data.prepare.stage import Stage, StageError
from mdmf_jax.errors import DataError


def main() -> None:
    """Works until the input ends; the first line of the input holds the settings."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process decides what Ctrl-C means
    settings = json.loads(sys.stdin.readline())
    images, limits = Images(**settings["images"]), Limits(**settings["limits"])
    if limits.memory:
        size = limits.memory << 20
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
    stage, tasks = Stage(settings["stage"]), queue.SimpleQueue()
    _answer({"status": "ready"})
    threading.Thread(target=_read_tasks, args=(tasks,), daemon=True).start()
    while True:
        task = tasks.get()
        _answer(_decode(stage, task["key"], task["path"], images, limits))


def _answer(message: dict) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _read_tasks(tasks: queue.SimpleQueue) -> None:
    for line in sys.stdin:
        tasks.put(json.loads(line))
    os._exit(0)


def _decode(stage: Stage, key: str, path: str, images: Images, limits: Limits) -> dict:
    try:
        decode_to_stage(stage, key, path, images, limits)
    except StageError as error:
        return {"status": "stop", "reason": str(error)}
    except DataError as error:
        return {"status": "failed", "reason": str(error).removeprefix(f"{path}: ")}
    except MemoryError:
        return {"status": "failed", "reason": memory_reason(limits)}
    except OSError as error:
        if error.errno != errno.ENOMEM:
            raise
        return {"status": "failed", "reason": memory_reason(limits)}
    return {"status": "done"}


def memory_reason(limits: Limits) -> str:
    return f"needs more memory than --memory-limit={limits.memory} MB"


if __name__ == "__main__":
    main()
