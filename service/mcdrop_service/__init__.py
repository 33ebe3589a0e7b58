"""The HTTP service of mcdrop: uncertainty over the network, with the same bits as the library.

Rooms, each with plain data at its doors:

    parsing      bytes -> a `PredictionRequest` (knows neither torch nor HTTP)
    scheduler    requests -> blocks of work (knows neither torch nor HTTP)
    execution    blocks of work -> predictions: the one place that owns torch
    encoding     a prediction -> bytes
    web          routes, middleware, the server process
"""
