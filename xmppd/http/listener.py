"""Listens for HTTP with aiohttp."""

from __future__ import annotations

from aiohttp import web

from xmppd.errors import UserError


class HttpListener:
    """Serves one application on one or more addresses."""

    def __init__(self, app: web.Application) -> None:
        self._runner = web.AppRunner(app, access_log=None)
        self._ready = False

    async def listen(self, host: str, port: int) -> tuple[str, int]:
        """Listen on ``host`` and ``port`` (0: any); the address that was bound. ``UserError`` names what is
        in the way.
        """
        if not self._ready:
            await self._runner.setup()
            self._ready = True
        site = web.TCPSite(self._runner, host, port)
        try:
            await site.start()
        except OSError as err:
            raise UserError(
                f"cannot listen for HTTP on {host}:{port}: {err.strerror or err}; "
                "choose another address in [listen] http"
            ) from err
        bound = self._runner.addresses[-1]
        return str(bound[0]), int(bound[1])

    async def close(self) -> None:
        await self._runner.cleanup()
