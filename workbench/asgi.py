"""What can be served, and a sentence for what cannot."""

import contextlib
import inspect
from typing import Any

from uvicorn.importer import ImportFromStringError, import_from_string

from workbench.record import ASGIApp


class ServeError(RuntimeError):
    """The app could not be served. `__cause__` is what the app raised, where it raised something."""


def as_asgi(app: Any) -> ASGIApp:
    """The ASGI app that `app` is, or that an import string names. Raises ServeError."""
    if isinstance(app, str):
        try:
            app = import_from_string(app)
        except ImportFromStringError as error:
            raise ServeError(str(error)) from error
        except Exception as error:
            raise ServeError(f"Importing {app!r} failed: {type(error).__name__}: {error}") from error
    if inspect.iscoroutine(app):
        app.close()
        raise ServeError("This is a coroutine, not an app: something like `serve(make_app())` lacks an `await`.")
    if inspect.isclass(app) or not callable(app):
        what = f"the class {app.__name__}" if inspect.isclass(app) else f"of type {type(app).__name__}"
        raise ServeError(f"This is {what}, not an ASGI app. Pass the object that FastAPI() made.")
    with contextlib.suppress(ValueError):  # some callables written in C have no signature
        try:
            inspect.signature(app).bind(None, None, None)
        except TypeError as error:
            raise ServeError(
                f"{app!r} is not an ASGI app: one is called with (scope, receive, send). "
                "Pass the object that FastAPI() made, not a function of it."
            ) from error
    return app  # type: ignore[no-any-return]
