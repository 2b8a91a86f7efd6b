"""Trains Ridgepoint's candidates in PyTorch. Needs torch and numpy.

    trainer: {command: [python3, torch_trainer.py, "{request}"], params: {lr: 0.1, batchSize: 32}}

`params` (all optional): lr, batchSize, momentum, weightDecay, labelSmoothing, warmup, flip, device, threads.
A network arrives as a graph of a dozen kinds of operators, so whatever a search space holds can be trained.
"""

import hashlib
import json
import math
import os
import signal
import struct
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ridgepoint_command import event, read_request, refuse, write_result


class Network(nn.Module):
    """A graph file as a module; parameters keep the graph's names and layouts."""

    def __init__(self, graph, weights):
        super().__init__()
        self.graph = graph
        self.names = [parameter["name"] for parameter in graph["parameters"]]
        self.values = nn.ParameterDict()
        self.decayed = []
        for parameter in graph["parameters"]:
            name, role = parameter["name"], parameter["role"]
            value = torch.from_numpy(weights[name].copy())
            if role.startswith("running-"):
                self.register_buffer(self.key(name), value)
            else:
                self.values[self.key(name)] = nn.Parameter(value)
                if role == "weight":
                    self.decayed.append(name)
        # While running statistics are estimated anew, each batch replaces them and nothing is dropped.
        self.estimating = False

    @staticmethod
    def key(name):
        return name.replace(".", "/")

    def value(self, name):
        key = self.key(name)
        return self.values[key] if key in self.values else getattr(self, key)

    def forward(self, image):
        found = {self.graph["inputs"][0]["name"]: image}
        for node in self.graph["nodes"]:
            inputs = [found[name] if name in found else self.value(name) for name in node["inputs"]]
            found[node["outputs"][0]] = self.apply_node(node["op"], inputs, node["attributes"])
        return found[self.graph["outputs"][0]]

    def apply_node(self, op, inputs, attributes):
        x = inputs[0]
        if op == "conv":
            return F.conv2d(
                pad(x, attributes["pads"], 0.0),
                inputs[1],
                inputs[2] if len(inputs) > 2 else None,
                stride=attributes["stride"],
                groups=attributes["groups"],
                dilation=attributes.get("dilation", 1),
            )
        if op == "batch-norm":
            scale, shift, mean, variance = inputs[1:]
            return F.batch_norm(x, mean, variance, scale, shift, self.training, 1.0 if self.estimating else 0.01, attributes["epsilon"])
        if op == "dense":
            return x @ inputs[1] + inputs[2]
        if op == "drop":
            if self.estimating or not self.training:
                return x
            shape = x.shape if attributes["unit"] == "element" else (x.shape[0],) + (1,) * (x.dim() - 1)
            keep = 1 - attributes["rate"]
            return x * torch.bernoulli(torch.full(shape, keep, device=x.device)) / keep
        if op in ("max-pool", "average-pool"):
            kernel, stride = attributes["kernel"], attributes["stride"]
            if op == "max-pool":
                return F.max_pool2d(pad(x, attributes["pads"], -math.inf), kernel, stride)
            # Padding does not count: divide by the share of the window that is inside.
            inside = F.avg_pool2d(pad(torch.ones_like(x[:1, :1]), attributes["pads"], 0.0), kernel, stride)
            return F.avg_pool2d(pad(x, attributes["pads"], 0.0), kernel, stride) / inside
        if op == "space-to-depth":
            # Channel (i · block + j) · c + k from pixel (i, j) of plane k.
            block = attributes["block"]
            n, c, h, w = x.shape
            return x.view(n, c, h // block, block, w // block, block).permute(0, 3, 5, 1, 2, 4).reshape(
                n, c * block * block, h // block, w // block
            )
        simple = {
            "relu": F.relu,
            "relu6": F.relu6,
            "silu": F.silu,
            "hard-swish": F.hardswish,
            "sigmoid": torch.sigmoid,
            "hard-sigmoid": F.hardsigmoid,
            "global-average-pool": lambda value: value.mean((2, 3), keepdim=True),
            "flatten": lambda value: value.flatten(1),
        }
        if op in simple:
            return simple[op](x)
        if op == "add":
            return x + inputs[1]
        if op == "gate":
            return x * inputs[1]
        if op == "concat":
            return torch.cat(inputs, 1)
        raise Unsupported(op)


class Unsupported(Exception):
    """An operator this trainer does not know."""


def pad(x, pads, value):
    top, left, bottom, right = pads
    return F.pad(x, (left, right, top, bottom), value=value) if any(pads) else x


def read_safetensors(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    header.pop("__metadata__", None)
    return {
        name: np.frombuffer(data[entry["data_offsets"][0] : entry["data_offsets"][1]], "<f4").reshape(entry["shape"])
        for name, entry in header.items()
    }


def write_safetensors(path, tensors):
    """@returns the file's SHA-256."""
    header, blobs, end = {}, [], 0
    for name, value in sorted(tensors.items()):
        blob = np.ascontiguousarray(value, "<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [end, end + len(blob)]}
        blobs.append(blob)
        end += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    content = struct.pack("<Q", len(text)) + text + b"".join(blobs)
    with open(path, "wb") as file:
        file.write(content)
    return hashlib.sha256(content).hexdigest()


def read_data(path, mean, std):
    """Training and hold-out split: uint8 images [n, c, h, w], labels, and a function that normalises."""
    with open(path, "rb") as file:
        prefix = file.read(16)
        if prefix[:8] != b"RPDATA02":
            sys.exit(f"{path}: expected a prepared data set")
        header = json.loads(file.read(struct.unpack("<I", prefix[8:12])[0]))
        shape = (header["channels"], header["height"], header["width"])
        splits = {}
        for name in ("train", "holdout"):
            count = header["splits"][name]["count"]
            labels = np.frombuffer(file.read(2 * count), "<u2").astype(np.int64)
            pixels = np.frombuffer(file.read(count * math.prod(shape)), np.uint8).reshape(count, *shape)
            splits[name] = (torch.from_numpy(pixels.copy()), torch.from_numpy(labels))
    mean = torch.tensor(mean).view(1, -1, 1, 1)
    std = torch.tensor(std).view(1, -1, 1, 1)
    return splits["train"], splits["holdout"], lambda images: (images.float() / 255 - mean) / std


def batches(count, size, seed):
    """Endless batches of indices, every example once an epoch."""
    generator = torch.Generator().manual_seed(seed)
    left = torch.empty(0, dtype=torch.int64)
    while True:
        while len(left) < size:
            left = torch.cat([left, torch.randperm(count, generator=generator)])
        yield left[:size]
        left = left[size:]


def learning_rate(step, steps, peak, warmup):
    """Linear warm-up, then a cosine to zero: complete whatever the number of steps."""
    rising = max(1, round(warmup * steps))
    if step < rising:
        return peak * (step + 1) / rising
    return peak * 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def train(request, stopping):
    params = request["params"]
    size = int(params.get("batchSize", 32))
    device = torch.device(params.get("device", "cpu"))
    torch.set_num_threads(int(params.get("threads", 1)))
    torch.manual_seed(request["seed"])
    data = request["data"]
    (images, labels), holdout, normalise = read_data(data["file"], data["mean"], data["std"])
    with open(request["files"]["graph"], encoding="utf-8") as file:
        network = Network(json.load(file), read_safetensors(request["files"]["weights"])).to(device)
    decayed = [network.value(name) for name in network.decayed]
    others = [value for value in network.parameters() if all(value is not other for other in decayed)]
    optimizer = torch.optim.SGD(
        [{"params": decayed, "weight_decay": params.get("weightDecay", 5e-4)}, {"params": others, "weight_decay": 0}],
        lr=0.1,
        momentum=params.get("momentum", 0.9),
    )
    steps = math.ceil(request["fidelity"]["examples"] / size)
    peak = params.get("lr", 0.1 * size / 32)
    # A training that was cut off goes on where it saved last; a longer one is a schedule of its own.
    saved = os.path.join(request["paths"]["state"], f"{request['fidelity']['examples']}.pt")
    first = 0
    if os.path.exists(saved):
        state = torch.load(saved, map_location=device, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]

    def save(step):
        torch.save({"network": network.state_dict(), "optimizer": optimizer.state_dict(), "step": step}, saved + ".part")
        os.replace(saved + ".part", saved)

    order = batches(len(labels), size, request["seed"])
    for _ in range(first):
        next(order)
    started = told = time.monotonic()
    network.train()
    for step in range(first, steps):
        if stopping():
            save(step)
            sys.exit(75)  # Interrupted: the same request goes on from here.
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, peak, params.get("warmup", 0.2))
        chosen = next(order)
        batch = normalise(images[chosen]).to(device)
        if params.get("flip", True):
            mirrored = torch.rand(len(batch), 1, 1, 1, device=device) < 0.5
            batch = torch.where(mirrored, batch.flip(3), batch)
        loss = F.cross_entropy(
            network(batch), labels[chosen].to(device), label_smoothing=params.get("labelSmoothing", 0.1)
        )
        if not math.isfinite(loss.item()):
            return {"status": "infeasible", "reason": "diverged", "detail": f"after {step * size} examples"}
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step == first or time.monotonic() - told > 2:
            told = time.monotonic()
            seen = (step + 1) * size
            speed = (step + 1 - first) * size / (told - started)
            event(t="progress", examples=seen, metrics={"loss": loss.item()}, imagesPerS=speed)
    seconds = time.monotonic() - started

    # Running statistics lag behind weights that moved to the last: average them anew over some batches.
    network.estimating = True
    totals = None
    rounds = min(steps, math.ceil(1024 / size))
    with torch.no_grad():
        for _ in range(rounds):
            network(normalise(images[next(order)]).to(device))
            now = [buffer.clone() for buffer in network.buffers()]
            totals = now if totals is None else [total + value for total, value in zip(totals, now)]
        for buffer, total in zip(network.buffers(), totals):
            buffer.copy_(total / rounds)
        accuracy, cross_entropy = score(network, holdout, normalise, device)
    if os.path.exists(saved):
        os.remove(saved)
    result = {
        "status": "ok",
        "metrics": {
            "accuracy": {"value": accuracy, "split": "holdout", "n": len(holdout[1])},
            "crossEntropy": {"value": cross_entropy, "split": "holdout", "n": len(holdout[1])},
        },
        "cost": {
            "deviceHours": seconds / 3600,
            "imagesPerS": (steps - first) * size / max(seconds, 1e-9),
        },
    }
    if request["keepWeights"]:
        path = os.path.join(request["paths"]["out"], "weights.safetensors")
        tensors = {name: network.value(name).detach().cpu().numpy() for name in network.names}
        digest = write_safetensors(path, tensors)
        result["artefacts"] = [{"kind": "weights", "path": "weights.safetensors", "sha256": digest}]
    return result


def score(network, split, normalise, device):
    network.eval()
    images, labels = split
    right, nats = 0, 0.0
    for start in range(0, len(labels), 256):
        logits = network(normalise(images[start : start + 256]).to(device)).cpu()
        expected = labels[start : start + 256]
        right += int((logits.argmax(1) == expected).sum())
        nats += F.cross_entropy(logits, expected, reduction="sum").item()
    return right / len(labels), nats / len(labels)


def main():
    request, _ = read_request()
    if request["op"] == "describe":
        return write_result(
            request, status="ok", name="torch", version=torch.__version__, operations=["describe", "train"]
        )
    if request["op"] != "train":
        refuse(request)
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    try:
        result = train(request, lambda: bool(stopped))
    except Unsupported as error:
        result = {"status": "infeasible", "reason": "unsupported", "detail": f"operator {error}"}
    except torch.cuda.OutOfMemoryError as error:
        result = {"status": "infeasible", "reason": "out-of-memory", "detail": str(error)[:500]}
    write_result(request, **result)


if __name__ == "__main__":
    main()
