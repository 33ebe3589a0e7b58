"""HTTP: routes of a few lines each, middleware, and the server process."""

from mcdrop_service.web.app import create_app
from mcdrop_service.web.greeting import greeting
from mcdrop_service.web.server import listening_socket, serve_until_stopped, url_of
from mcdrop_service.web.service import Service

__all__ = [
    "Service",
    "create_app",
    "greeting",
    "listening_socket",
    "serve_until_stopped",
    "url_of",
]
