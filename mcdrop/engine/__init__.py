"""The neural half: a network with dropout is a function f(x, masks).

From the ground up: `sites` and `masks` (what is random, and what it is multiplied by), `interception` (each
kind of random call, given its draw), `view` and `tracing` (the model looked at, never touched), `strategies`
(replay), `oracle` and `verification` (the proof), `sampling` and `exact` (blocks and tiles), `planning` (all
of it, once for each input signature). Nothing here knows what a prediction is.
"""
