"""Networks of encoder and decoder, and a reconstruction term in a space of features."""

from .architectures import MLP, ConvNet
from .base import Network
from .coders import LINEAR, Decoder, Encoder
from .perceptual import FeatureLoss

__all__ = ["LINEAR", "MLP", "ConvNet", "Decoder", "Encoder", "FeatureLoss", "Network"]
