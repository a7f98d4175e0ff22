"""ROOT_PATH: the prefix below which a proxy serves the application."""

from starlette.types import ASGIApp, Receive, Scope, Send


class RootPath:
    """Removes the prefix from the path where the proxy has left it. Add it last.

    So proxies that strip the prefix work, others do, and so do requests past the proxy.
    """

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with the path that the routes know."""
        if scope["type"] == "http":
            root_path, path = self._root_path, scope["path"]
            if f"{path}/".startswith(f"{root_path}/"):
                path = path.removeprefix(root_path)
            scope = {**scope, "path": path, "root_path": root_path}
        await self._app(scope, receive, send)
