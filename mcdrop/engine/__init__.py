"""The neural half: a network with dropout is a function f(x, masks).

From the ground up: `sites` and `masks` (what is random, and what it is multiplied by), `interception` (each
kind of random call, given its draw), `view`, `ownership`, `exploration` and `tracing` (the model looked at,
never touched), `strategies` (replay), `oracle` and `verification` (the proof), `sampling` and `exact` (blocks
and tiles), `pace` and `planning` (all of it, once for each input signature). Beside them stand the straight
lines by which a server runs blocks that come again without the Python of the model: `dictation` writes one
down, `straight` runs it, `proof` shows that it is right, and `lines` keeps them. Nothing here knows what a
prediction is.
"""
