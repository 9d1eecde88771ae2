"""The life of a run's processes: whatever ends the run, all of them are gone within seconds.

A run has a launcher (with several GPUs), ranks, and loader workers of each rank. What ends a run:

    a rank returns or raises      ``process_life`` kills its workers and reports the error
    SIGTERM, SIGINT, SIGHUP,      the main rank ends, after saving if it trains (see checkpointing.PreemptionHandler);
    SIGQUIT                       other ranks and workers ignore signals and end with it
    a worker dies                 the loader raises in its rank
    a rank dies                   the other ranks end themselves, see ``end_with_peers``
    the launcher dies             the kernel kills its ranks, see ``end_with_parent``
    nothing moves                 the watchdog prints all stacks and ends the process, see ``start_watchdog``

The kernel kills the workers of a rank that ends, so a killed rank leaves none behind.
"""

import ctypes
import faulthandler
import gc
import logging
import multiprocessing.queues
import os
import select
import signal
import sys
import threading
import time
import traceback
from contextlib import contextmanager, suppress
from pathlib import Path

from trainer.utils.errors import InputError, is_out_of_memory, print_error

log = logging.getLogger("trainer")

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
PR_SET_PDEATHSIG = 1  # prctl(2)
ERROR_FILE = "VSSL_ERROR_FILE"  # environment variable: where ranks leave the first error for the launcher
_ENDING = threading.RLock()  # held by the thread that ends the process, until the end


class Stopped(BaseException):
    """A signal ended the run. Not an Exception, so that code which handles errors does not catch it."""

    def __init__(self, number, saved=False):
        super().__init__(number)
        self.number, self.saved = number, saved


# --- One process -----------------------------------------------------------------------------------------------------


@contextmanager
def process_life(is_main=True):
    """Run the work of a rank; if it fails or is stopped, kill its workers, report the error and exit.

    The last line of the log is "error: ..."; unless it is an InputError, a traceback stands before it. Signals raise
    `Stopped` in the main rank. The exit status is 1, or 128 + the number of the signal.
    """
    handle_signals(_raise_stopped if is_main else signal.SIG_IGN)
    try:
        yield
        _ignore_signals()
        _kill_workers()
    except Stopped as stopped:
        end_stopped(stopped)
    except Exception as error:
        _ignore_signals()
        if ERROR_FILE in os.environ:
            time.sleep(1)  # if the cause is that another rank has ended, the watcher ends this one first
        _end_with_error(error)


def handle_signals(handler):
    """Set the handler of the signals that end a run; those that are ignored, as under nohup, stay so."""
    for number in STOP_SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def _raise_stopped(number, _frame):
    raise Stopped(number)


def _begin_to_end():
    """Let this thread alone end the process: what others meet from now on follows from it and is not reported."""
    _ignore_signals()
    _ENDING.acquire()


def _ignore_signals():
    if threading.current_thread() is threading.main_thread():
        handle_signals(signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # PyTorch's handler raises when a worker is killed


def exit_now(status):
    """End this process and its workers now. No exit handler runs: it would wait for workers, or for other ranks."""
    _begin_to_end()
    try:
        _kill_workers()
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:  # the log's disk may be full
        os._exit(status)


def end_stopped(stopped):
    """Log which signal ended the run, and end this process with 128 + the number of the signal."""
    _begin_to_end()
    saved = "checkpoint saved; " if stopped.saved else ""
    log.info("%s received: %sstart the run again to resume it", signal.Signals(stopped.number).name, saved)
    exit_now(128 + stopped.number)


def _end_with_error(error):
    """Report ``error`` and end this process with status 1."""
    _begin_to_end()
    try:
        _report(error)
    finally:
        exit_now(1)


def _kill_workers():
    for child in multiprocessing.active_children():
        child.kill()
        child.join(5)


def start_worker(_number):
    """Prepare a loader worker: it ignores signals, frees nothing that it inherits, and ends with its rank.

    A cluster's SIGTERM and a terminal's Ctrl-C reach every process of a job, but the rank that saves needs its workers.
    A forked process that collects a tensor on a GPU as garbage ends by "CUDA error: initialization error".

    It also ends if it cannot hand over a batch, e.g. for lack of file descriptors: the rank would wait for the batch.
    """
    gc.freeze()
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    multiprocessing.queues.Queue._on_queue_feeder_error = staticmethod(_end_worker)
    end_with_parent()


def _end_worker(error, _batch):
    try:
        traceback.print_exception(error)
    finally:
        os._exit(1)


def end_with_parent(parent=None):
    """Have the kernel kill this process when its parent ends; ``parent``: its process id, if known."""
    parent = parent or os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the kernel knew
        os.kill(os.getpid(), signal.SIGKILL)


# --- Several ranks ---------------------------------------------------------------------------------------------------


def end_with_peers(pids):
    """End this process when one of the ranks ``pids`` ends; return a function that calls this off.

    Otherwise a collective call with that rank may wait for an hour.
    """
    peers = [os.pidfd_open(pid) for pid in pids if pid != os.getpid()]
    off, call_off = os.pipe()
    watcher = threading.Thread(target=_watch, args=(peers, off), daemon=True)
    watcher.start()

    def stop():
        os.write(call_off, b"x")
        watcher.join()

    return stop


def _watch(peers, off):
    poll = select.poll()
    for descriptor in (*peers, off):
        poll.register(descriptor, select.POLLIN)
    if off not in [descriptor for descriptor, _ in poll.poll()]:
        exit_now(1)  # without a word: the launcher reports the rank that ended first


# --- Stalls ----------------------------------------------------------------------------------------------------------


class _Heartbeat:
    last = 0.0  # time of the last one


def start_watchdog(minutes):
    """End this process, with the stacks of all threads in its log, when ``heartbeat`` was not called for so long."""
    heartbeat()
    threading.Thread(target=_watch_heartbeats, args=(60 * minutes,), daemon=True).start()


def heartbeat():
    """Tell the watchdog that the run goes on; called for every batch that a training or prediction reads."""
    _Heartbeat.last = time.monotonic()


def _watch_heartbeats(seconds):
    while (left := _Heartbeat.last + seconds - time.monotonic()) > 0:
        # A thread of C ends the process if this one gets no turn: some call keeps the interpreter's lock.
        faulthandler.dump_traceback_later(left + 60, exit=True)
        time.sleep(left)
    _begin_to_end()
    faulthandler.dump_traceback()
    _end_with_error(
        InputError(
            f"no step or batch within {seconds / 60:g} minutes (machine: stall_minutes); the stacks above show where "
            "the run waits, e.g. for a file system, a GPU or another rank. Start it again to resume it"
        )
    )


# --- Errors ----------------------------------------------------------------------------------------------------------


def _report(error):
    """Print an error, its last line being "error: ..."; a rank of several leaves this line to the launcher."""
    if not isinstance(error, InputError):
        with suppress(OSError):
            traceback.print_exception(error)
    words = explain(error)
    if path := os.environ.get(ERROR_FILE):
        log.error("this rank failed: %s", words)
        with suppress(FileExistsError), Path(path).open("xb") as file:  # the first error counts
            file.write(words.encode(errors="backslashreplace"))
    else:
        print_error(words)


def explain(error) -> str:
    """Return an error in the words of a user, in one line: what happened and what to do."""
    if isinstance(error, InputError):
        return str(error)
    words = f"{type(error).__name__}: {error}".partition("\n")[0]
    if "DataLoader worker" in words:
        return (
            f"a loader worker died ({words}); unless a traceback above says why, lower machine: workers, request more "
            "memory, or enlarge /dev/shm"
        )
    if is_out_of_memory(error):
        return (
            f"out of memory ({words}); end other programs on this device or use one with more memory. Or set training: "
            "precision: bfloat16, for transformers machine: activation_checkpointing: true, or lower training: "
            "batch_size. More micro_batches need less, too, but change BatchNorm's statistics"
        )
    if "DataLoader timed out" in words:
        return f"the loader brought no batch ({words}); a slow file system, or /dev/shm is full"
    return words
