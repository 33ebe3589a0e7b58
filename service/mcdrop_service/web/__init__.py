"""HTTP: routes of a few lines each, middleware, and the server process."""

from mcdrop_service.web.app import create_app
from mcdrop_service.web.greeting import greeting
from mcdrop_service.web.keys import read_keys, read_token
from mcdrop_service.web.management import create_management_app
from mcdrop_service.web.server import Door, listening_socket, serve_until_stopped, url_of
from mcdrop_service.web.service import Service

__all__ = [
    "Door",
    "Service",
    "create_app",
    "create_management_app",
    "greeting",
    "listening_socket",
    "read_keys",
    "read_token",
    "serve_until_stopped",
    "url_of",
]
