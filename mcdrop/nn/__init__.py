"""Dropout layers that torch does not have: for training, for evaluation, and under `MCDropout`.

They draw as torch's own layers do, from its global generator in train mode, and import nothing but torch.
"""

from mcdrop.nn.concrete import ConcreteDropout, concrete_regulariser
from mcdrop.nn.depth import StochasticDepth
from mcdrop.nn.dropblock import DropBlock1d, DropBlock2d, DropBlock3d
from mcdrop.nn.dropconnect import DropConnect, WeightDrop, check_untied
from mcdrop.nn.elementwise import Dropout, GaussianDropout, ScheduledDropout, linear_schedule
from mcdrop.nn.embedding import EmbeddingDropout
from mcdrop.nn.variational import VariationalDropout
from mcdrop.nn.variational_rnn import VariationalGRU, VariationalLSTM

__all__ = [
    "ConcreteDropout",
    "DropBlock1d",
    "DropBlock2d",
    "DropBlock3d",
    "DropConnect",
    "Dropout",
    "EmbeddingDropout",
    "GaussianDropout",
    "ScheduledDropout",
    "StochasticDepth",
    "VariationalDropout",
    "VariationalGRU",
    "VariationalLSTM",
    "WeightDrop",
    "check_untied",
    "concrete_regulariser",
    "linear_schedule",
]
