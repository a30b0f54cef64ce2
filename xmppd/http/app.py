"""The HTTP application. So far: whether the server lives and whether it takes clients."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web


def application(ready: Callable[[], bool]) -> web.Application:
    """``ready`` tells whether clients are served, which is what a load balancer asks for."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        return web.Response(text="ready\n") if ready() else web.Response(text="not ready\n", status=503)

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    return app
