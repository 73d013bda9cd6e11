"""Loads a model that Espalier has pruned. Needs PyTorch and nothing else.

    import espalier_model
    model = espalier_model.load("pruned-model")
    logits = model(input_ids, attention_mask)            # classification: [batch, labels]
    start_logits, end_logits = model(input_ids, mask)    # question answering: [batch, tokens] each

Reads config.json and model.safetensors of a BERT, DistilBERT, RoBERTa, XLM-RoBERTa or CamemBERT model with a sequence
classification, token classification or question answering head. Layers may have any number of heads and neurons,
also none: such a sub-layer adds its output bias only. Dense models load as well.

Shapes below: D hidden size, d head size, H a layer's own heads, I a layer's own neurons.
"""

import json
import math
import mmap
import os
import struct

import torch
from torch import nn
from torch.nn import functional as F

_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}

_TANH_GELUS = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_accurate")

# Where each architecture keeps its modules.
_BERT_NAMES = {
    "layer": "encoder.layer",
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attention_output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "ffn_in": "intermediate.dense",
    "ffn_out": "output.dense",
    "ffn_norm": "output.LayerNorm",
}
_DISTILBERT_NAMES = {
    "layer": "transformer.layer",
    "query": "attention.q_lin",
    "key": "attention.k_lin",
    "value": "attention.v_lin",
    "attention_output": "attention.out_lin",
    "attention_norm": "sa_layer_norm",
    "ffn_in": "ffn.lin1",
    "ffn_out": "ffn.lin2",
    "ffn_norm": "output_layer_norm",
}


def load(folder, dtype=torch.float32):
    """The model of a folder, in eval mode on the CPU, its weights converted to `dtype`.

    Raises ValueError for a model that this file cannot run, KeyError for a missing weight."""
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    weights = {name: tensor.to(dtype) for name, tensor in read_safetensors(folder).items()}
    return Model(config, weights).eval()


def read_safetensors(folder):
    """All tensors of model.safetensors, or of the shards of its index, by name."""
    index = os.path.join(folder, "model.safetensors.index.json")
    names = ["model.safetensors"]
    if not os.path.exists(os.path.join(folder, names[0])) and os.path.exists(index):
        with open(index, encoding="utf-8") as file:
            names = sorted(set(json.load(file)["weight_map"].values()))
    tensors = {}
    for name in names:
        with open(os.path.join(folder, name), "rb") as file:
            tensors.update(_read_file(file))
    return tensors


def _read_file(file):
    # The file: length of the header as unsigned 64-bit, the header in JSON, the data.
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as data:
        (header_bytes,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + header_bytes])
        header.pop("__metadata__", None)
        tensors = {}
        for name, entry in header.items():
            if entry["dtype"] not in _DTYPES:  # position_ids of older models; no weight is an integer
                continue
            begin, end = entry["data_offsets"]
            raw = bytearray(data[8 + header_bytes + begin : 8 + header_bytes + end])  # a copy, so the map can close
            dtype = _DTYPES[entry["dtype"]]
            flat = torch.frombuffer(raw, dtype=dtype) if raw else torch.empty(0, dtype=dtype)
            tensors[name] = flat.reshape(entry["shape"])
        return tensors


class Model(nn.Module):
    """Encoder and head. `forward` returns logits; a pair (start, end) for question answering."""

    def __init__(self, config, weights):
        super().__init__()
        self.head = _head(config)
        self.embeddings = Embeddings(config, weights)
        layers = config["n_layers"] if config["model_type"] == "distilbert" else config["num_hidden_layers"]
        self.layers = nn.ModuleList(Layer(config, weights, number) for number in range(layers))
        distilbert, roberta = config["model_type"] == "distilbert", _prefix(config) == "roberta"
        self.dense = None
        output = "qa_outputs" if self.head == "QuestionAnswering" else "classifier"
        if self.head == "SequenceClassification":
            # Pooler and classifier of BERT, pre-classifier of DistilBERT, two-layer classifier of RoBERTa.
            dense = "pre_classifier" if distilbert else "classifier.dense" if roberta else "bert.pooler.dense"
            self.dense = Linear(weights, dense)
            self.dense_activation = F.relu if distilbert else torch.tanh
            output = "classifier.out_proj" if roberta else "classifier"
        self.output = Linear(weights, output)

    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        """All arguments are integers [batch, tokens]; a mask of 1 marks tokens, 0 padding."""
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        hidden = self.embeddings(input_ids, token_type_ids)  # [batch, tokens, D]
        # Added to scores [batch, H, tokens, tokens]: 0 for tokens, the least number for padding.
        least = torch.finfo(hidden.dtype).min
        bias = (1 - attention_mask[:, None, None, :].to(hidden.dtype)) * least
        for layer in self.layers:
            hidden = layer(hidden, bias)
        if self.dense is not None:
            hidden = self.dense_activation(self.dense(hidden[:, 0]))  # [batch, D], of the first token
        logits = self.output(hidden)
        return logits.unbind(-1) if self.head == "QuestionAnswering" else logits


class Embeddings(nn.Module):
    """Sum of word, position and token type vectors, normalized."""

    def __init__(self, config, weights):
        super().__init__()
        prefix = f"{_prefix(config)}.embeddings"
        self.word = _parameter(weights, f"{prefix}.word_embeddings.weight")
        self.position = _parameter(weights, f"{prefix}.position_embeddings.weight")
        has_types = config["model_type"] != "distilbert"
        self.token_type = _parameter(weights, f"{prefix}.token_type_embeddings.weight") if has_types else None
        self.norm = Norm(config, weights, f"{prefix}.LayerNorm")
        # RoBERTa counts positions after the padding id, over tokens that are not padding.
        padding = config.get("pad_token_id")
        self.padding = (1 if padding is None else padding) if prefix.startswith("roberta") else None

    def forward(self, input_ids, token_type_ids):
        if self.padding is None:
            positions = torch.arange(input_ids.shape[1], device=input_ids.device)
        else:
            is_token = (input_ids != self.padding).long()
            positions = is_token.cumsum(1) * is_token + self.padding
        summed = self.word[input_ids] + self.position[positions]
        if self.token_type is not None:
            types = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
            summed = summed + self.token_type[types]
        return self.norm(summed)


class Layer(nn.Module):
    """Attention and FFN sub-layers, each followed by adding its input and normalizing."""

    def __init__(self, config, weights, number):
        super().__init__()
        distilbert = config["model_type"] == "distilbert"
        names = _DISTILBERT_NAMES if distilbert else _BERT_NAMES
        at = {part: f"{_prefix(config)}.{names['layer']}.{number}.{name}" for part, name in names.items()}
        self.query = Linear(weights, at["query"])  # weight [H * d, D]
        self.key = Linear(weights, at["key"])
        self.value = Linear(weights, at["value"])
        self.attention_output = Linear(weights, at["attention_output"])  # weight [D, H * d]
        self.attention_norm = Norm(config, weights, at["attention_norm"])
        self.ffn_in = Linear(weights, at["ffn_in"])  # weight [I, D]
        self.ffn_out = Linear(weights, at["ffn_out"])  # weight [D, I]
        self.ffn_norm = Norm(config, weights, at["ffn_norm"])
        self.activation = _activation(config.get("activation" if distilbert else "hidden_act", "gelu"))
        hidden_size, heads = (
            (config["dim"], config["n_heads"])
            if distilbert
            else (config["hidden_size"], config["num_attention_heads"])
        )
        self.head_size = config.get("espalier", {}).get("head_size", hidden_size // heads)
        self.heads = self.query.weight.shape[0] // self.head_size

    def forward(self, hidden, bias):
        hidden = self.attention_norm(hidden + self.attention_output(self.context(hidden, bias)))
        return self.ffn_norm(hidden + self.ffn_out(self.activation(self.ffn_in(hidden))))

    def context(self, hidden, bias):
        """[batch, tokens, D] to [batch, tokens, H * d]."""
        batch, tokens, _ = hidden.shape
        split = (batch, tokens, self.heads, self.head_size)
        query, key, value = (
            linear(hidden).reshape(split).transpose(1, 2) for linear in (self.query, self.key, self.value)
        )  # [batch, H, tokens, d]
        scores = query @ key.transpose(2, 3) / math.sqrt(self.head_size) + bias
        context = scores.softmax(-1) @ value  # [batch, H, tokens, d]
        return context.transpose(1, 2).reshape(batch, tokens, self.heads * self.head_size)


class Linear(nn.Module):
    """x W^T + b with the file's weights; nn.Linear would first make random ones, and warns where there are none."""

    def __init__(self, weights, name):
        super().__init__()
        self.weight = _parameter(weights, f"{name}.weight")
        self.bias = _parameter(weights, f"{name}.bias")

    def forward(self, inputs):
        return F.linear(inputs, self.weight, self.bias)


class Norm(nn.Module):
    """Layer normalization over the last axis."""

    def __init__(self, config, weights, name):
        super().__init__()
        self.weight = _parameter(weights, f"{name}.weight")
        self.bias = _parameter(weights, f"{name}.bias")
        distilbert = config["model_type"] == "distilbert"
        self.eps = 1e-12 if distilbert else config.get("layer_norm_eps", 1e-12)

    def forward(self, inputs):
        return F.layer_norm(inputs, self.weight.shape, self.weight, self.bias, self.eps)


def _parameter(weights, name):
    return nn.Parameter(weights[name])


def _prefix(config):
    prefixes = {"bert": "bert", "distilbert": "distilbert"}
    prefixes.update(dict.fromkeys(("roberta", "xlm-roberta", "camembert"), "roberta"))
    if config["model_type"] not in prefixes:
        raise ValueError(f"model_type: got {config['model_type']}, expected one of {', '.join(prefixes)}")
    return prefixes[config["model_type"]]


def _head(config):
    (architecture,) = config["architectures"]
    heads = ("SequenceClassification", "TokenClassification", "QuestionAnswering")
    for head in heads:
        if architecture.endswith(f"For{head}"):
            return head
    raise ValueError(f"architectures: got {architecture}, expected one ending in {', '.join(heads)}")


def _activation(name):
    if name in ("gelu", "gelu_python"):
        return F.gelu
    if name in _TANH_GELUS:
        return lambda inputs: F.gelu(inputs, approximate="tanh")
    if name == "relu":
        return F.relu
    raise ValueError(f"activation: got {name}, expected gelu, relu or one of {', '.join(_TANH_GELUS)}")
