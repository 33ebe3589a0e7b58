"""The HTTP service of mcdrop: uncertainty over the network, with the same bits as the library.

Rooms, each with plain data at its doors:

    parsing      bytes -> a `PredictionRequest` (knows neither torch nor HTTP)
    scheduler    requests -> blocks of work (knows neither torch nor HTTP)
    execution    blocks of work -> predictions: the one place that owns torch
    encoding     a prediction -> bytes
    telemetry    metrics, statistics and logs (knows neither torch nor HTTP)
    web          routes, middleware, the server process
    client       asks a service over HTTP; no other room knows it
"""

from typing import Final

__all__ = ["__version__"]

__version__: Final = "0.1.0"
