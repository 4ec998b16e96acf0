"""Threads, ended from outside as far as Python allows."""

import ctypes
import threading
import time
from collections.abc import Iterable


def raise_in(thread: threading.Thread, kind: type[BaseException]) -> None:
    """Raise an exception inside another thread, as soon as it next runs Python code."""
    set_exception = ctypes.pythonapi.PyThreadState_SetAsyncExc
    if thread.ident is not None and thread.is_alive():
        set_exception(ctypes.c_ulong(thread.ident), ctypes.py_object(kind))


def join_all(threads: Iterable[threading.Thread], timeout: float) -> None:
    """Wait for all the threads, `timeout` seconds in all."""
    deadline = time.perf_counter() + timeout
    for thread in list(threads):
        thread.join(max(0.0, deadline - time.perf_counter()))
