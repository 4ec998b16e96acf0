"""Threads, ended from outside as far as Python allows."""

import ctypes
import functools
import threading
from collections.abc import Iterable

from workbench import clock


def raise_in(thread: threading.Thread, kind: type[BaseException]) -> None:
    """Raise an exception inside another thread, as soon as it next runs Python code."""
    set_exception = ctypes.pythonapi.PyThreadState_SetAsyncExc
    if thread.ident is not None and thread.is_alive():
        set_exception(ctypes.c_ulong(thread.ident), ctypes.py_object(kind))


@functools.cache
def let_end_quietly(kind: type[BaseException]) -> None:
    """From now on, nothing is printed about a thread that such an exception ended."""
    tell = threading.excepthook

    def tell_unless(args: threading.ExceptHookArgs) -> None:
        if not issubclass(args.exc_type, kind):
            tell(args)

    threading.excepthook = tell_unless


def join_all(threads: Iterable[threading.Thread], timeout: float) -> None:
    """Wait for all the threads, `timeout` seconds in all."""
    deadline = clock.now() + timeout
    for thread in list(threads):
        while thread.is_alive() and (left := deadline - clock.now()) > 0:
            thread.join(min(left, 0.05))
