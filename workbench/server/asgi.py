"""What can be served, a sentence for what cannot, and what makes an app's pages work in a notebook."""

import contextlib
import inspect
from typing import Any

from fastapi import FastAPI
from uvicorn.importer import ImportFromStringError, import_from_string

from workbench.server.record import ASGIApp, Receive, Scope, Send

CONTEXT = b"x-forwarded-context"  # where jupyter-server-proxy says below which path it serves an app
STATIC = "/static-offline-docs"  # of fastapi-offline


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


def with_pages(app: ASGIApp) -> ASGIApp:
    """Wrap an app so that its pages link correctly below a proxy's path, and /docs and /redoc work offline."""

    docs: ASGIApp | None = None

    async def wrapper(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal docs
        if scope["type"] not in ("http", "websocket"):
            await app(scope, receive, send)
            return
        answering = app
        if _asks_for_docs(app, scope):
            answering = docs = docs or _offline_docs(app)
        context = next((value for name, value in scope["headers"] if name == CONTEXT), b"").decode("latin-1")
        if context:
            context = context.rstrip("/")
            scope = {**scope, "root_path": context, "path": context + scope["path"]}
        await answering(scope, receive, send)

    return wrapper


def _asks_for_docs(app: ASGIApp, scope: Scope) -> bool:
    if not isinstance(app, FastAPI) or not app.openapi_url or scope["type"] != "http":
        return False
    path = scope["path"]
    return path in (app.docs_url, app.redoc_url) or path.startswith(STATIC)


def _offline_docs(app: Any) -> ASGIApp:
    """An app that answers with the documentation pages of another, and with all that they load but its schema."""
    from fastapi_offline import FastAPIOffline

    pages: ASGIApp = FastAPIOffline(
        title=app.title, docs_url=app.docs_url, redoc_url=app.redoc_url, openapi_url=app.openapi_url, static_url=STATIC
    )
    return pages
