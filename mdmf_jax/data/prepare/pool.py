"""Worker processes that can be killed: decode many videos, each within its limits."""

import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import IO

from mdmf_jax.data.prepare.decode import Images, Limits
from mdmf_jax.data.prepare.stage import Stage, StageError

START_SECONDS = 60.0  # a worker may take this long to start, on top of the time of its first file


@dataclass(frozen=True)
class Task:
    """A video to decode: the key of the result, and the absolute path of the file or folder."""

    key: str
    path: str


def decode_all(
    tasks: Sequence[Task], stage: Stage, images: Images, limits: Limits, workers: int
) -> Iterator[Task]:
    """Decodes every task to the stage, in worker processes; yields each when it is done.

    A worker that takes too long is killed, one that crashes is replaced; the file is then noted
    as failed in the stage, as is every file that cannot be decoded.

    Raises:
      StageError: the stage cannot be written.
    """
    if not tasks:
        return
    waiting: queue.SimpleQueue[Task] = queue.SimpleQueue()
    for task in tasks:
        waiting.put(task)
    answers: queue.SimpleQueue[Task | Future[None]] = queue.SimpleQueue()
    crew = [_Worker(stage, images, limits) for _ in range(min(workers, len(tasks)))]
    stop = threading.Event()
    with ThreadPoolExecutor(len(crew), thread_name_prefix="prepare") as threads:
        try:
            for worker in crew:
                served = threads.submit(_serve, worker, waiting, answers, stop)
                served.add_done_callback(answers.put)
            at_work = len(crew)
            while at_work:
                answer = answers.get()
                if isinstance(answer, Task):
                    yield answer
                else:
                    answer.result()  # raises what the thread raised
                    at_work -= 1
        finally:
            stop.set()
            for worker in crew:
                worker.kill()


def _serve(worker: "_Worker", waiting, answers, stop: threading.Event) -> None:
    """The thread that hands tasks to one worker process."""
    while not stop.is_set():
        try:
            task = waiting.get_nowait()
        except queue.Empty:
            break
        worker.decode(task, stop)
        if not stop.is_set():
            answers.put(task)
    worker.kill()


class _Worker:
    """A worker process, started when first needed and again after it ended."""

    def __init__(self, stage: Stage, images: Images, limits: Limits) -> None:
        self._stage, self._images, self._limits = stage, images, limits
        self._lock = threading.Lock()
        self._process: subprocess.Popen | None = None
        self._closed = False
        self._key = ""  # of the video it is at work on

    def decode(self, task: Task, stop: threading.Event) -> None:
        """Has one task done, and notes the failure if it fails.

        Raises:
          StageError: the stage cannot be written, or no worker process can be started.
        """
        process = self._ready()
        self._key = task.key
        begin = time.monotonic()
        answer = None
        if process is not None:
            answer = _ask(process, asdict(task), begin + self._limits.timeout)
        if stop.is_set():
            return
        if answer is None:
            self._fail(task, process, time.monotonic() - begin)
        elif answer["status"] == "failed":
            self._stage.add_failure(task.key, answer["reason"], self._limits.as_dict())
        elif answer["status"] == "stop":
            raise StageError(answer["reason"])

    def _fail(self, task: Task, process, seconds: float) -> None:
        late = process.poll() is None and seconds >= self._limits.timeout
        if late:
            reason = f"took longer than --timeout={self._limits.timeout:g} seconds"
        else:
            reason = _how_it_ended(process)
        self._end()
        self._stage.add_failure(task.key, reason, self._limits.as_dict())

    def _ready(self) -> subprocess.Popen | None:
        """The process, up and running; None if the work was stopped meanwhile."""
        with self._lock:
            if self._closed:
                return None
            if self._process is not None and self._process.poll() is None:
                return self._process
            self._process = process = _start()
        hello = {
            "stage": str(self._stage.folder.absolute()),
            "images": asdict(self._images),
            "limits": asdict(self._limits),
        }
        answer = _ask(process, hello, time.monotonic() + START_SECONDS)
        if answer is None and not self._closed:
            end = _how_it_ended(process)
            self._end()
            raise StageError(f"a worker process does not start ({end}); see the messages above")
        return process

    def _end(self) -> None:
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            _kill(process)
            self._stage.discard(self._key, process.pid)

    def kill(self) -> None:
        """Ends the process for good."""
        with self._lock:
            self._closed = True
        self._end()


def _start() -> subprocess.Popen:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
        "OPENBLAS_NUM_THREADS": "1",  # its threads would take up address space
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "mdmf_jax.data.prepare.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        bufsize=0,
    )


def _ask(process: subprocess.Popen, message: dict, deadline: float) -> dict | None:
    """Sends a line and reads one; None if the process ended or the time is over."""
    text, (stdin, stdout) = b"", _pipes(process)
    try:
        stdin.write(json.dumps(message).encode() + b"\n")
        while not text.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([stdout], [], [], left)[0]:
                return None
            piece = os.read(stdout.fileno(), 65536)
            if not piece:
                process.wait()
                return None
            text += piece
    except (OSError, ValueError):  # the pipe is closed: the process was killed
        return None
    return json.loads(text)


def _how_it_ended(process: subprocess.Popen) -> str:
    code = process.poll()
    if code is None:
        return "it does not answer"
    if code == -signal.SIGKILL:
        return "the worker process was killed from outside, perhaps for want of memory"
    if code < 0:
        return f"the decoder crashed ({signal.Signals(-code).name})"
    return f"the worker process ended with exit code {code}"


def _kill(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()
    for pipe in _pipes(process):
        pipe.close()


def _pipes(process: subprocess.Popen) -> tuple[IO[bytes], IO[bytes]]:
    assert process.stdin is not None and process.stdout is not None  # as `_start` asked
    return process.stdin, process.stdout
