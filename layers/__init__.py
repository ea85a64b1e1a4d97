"""Layers, losses and networks, each forward and backward pass written out by hand.

Read them in this order: `base` (what a layer is), `linear`, `square`, `embedding`, `chain`, `two_layer`; then the
others.
"""

from layers.activations import ACTIVATIONS
from layers.attention import Attention
from layers.base import EVALUATING, Cache, Gradients, Layer, Mode, Parameter
from layers.batchnorm import BatchNorm
from layers.chain import Chain, Residual
from layers.cross_entropy import CrossEntropy
from layers.dropout import Dropout
from layers.embedding import PairEmbedding, PositionEmbedding, TokenEmbedding
from layers.fused_batchnorm import FusedBatchNorm
from layers.fused_transformer import FusedTransformer
from layers.fused_two_layer import FusedTwoLayer
from layers.gelu import GELU
from layers.layernorm import LayerNorm
from layers.linear import Linear
from layers.lstm import LSTM
from layers.mean_squared_error import MeanSquaredError
from layers.mlp import DeepMLP
from layers.relu import ReLU
from layers.scale import Scale
from layers.square import Square
from layers.text_classifier import TextClassifier
from layers.tokens import LastToken
from layers.transformer import Transformer
from layers.two_layer import TwoLayerNetwork
