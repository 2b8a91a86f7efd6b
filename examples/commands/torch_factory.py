"""A family of residual networks in PyTorch, for `ridgepoint scale`: writes its members as ONNX files, and trains them.

    factory: {command: [python3, torch_factory.py, "{request}"], params: {width: 16}, resolution: 16, resolutionMultiple: 4}
    trainer: {command: [python3, torch_factory.py, "{request}"], params: {lr: 0.1}}

`params` of the factory: width (of the first stage). Of the trainer: the same width, lr, batchSize, threads. Put your own
network in the place of `Residual`: what Ridgepoint knows of it is the multipliers it asked for and the file it got.
"""

import hashlib
import math
import os
import signal
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

from ridgepoint_command import event, read_request, refuse, write_result
from torch_trainer import batches, learning_rate, read_data, score


class Block(nn.Module):
    """Two 3 × 3 convolutions beside a shortcut."""

    def __init__(self, before, width, stride):
        super().__init__()
        self.first = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(width)
        self.second = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(width)
        self.shortcut = nn.Identity()
        if stride > 1 or before != width:
            self.shortcut = nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x):
        y = F.relu(self.first_norm(self.first(x)))
        return F.relu(self.second_norm(self.second(y)) + self.shortcut(x))


class Residual(nn.Module):
    """Three stages of one block, widths w, 2w and 4w: depth multiplies the blocks, width the channels."""

    def __init__(self, channels, classes, width, depth, multiplier):
        super().__init__()
        # Multiples of 8 suit the kernels of every runtime.
        widths = [8 * max(1, round(width * 2**stage * multiplier / 8)) for stage in range(3)]
        self.stem = nn.Sequential(nn.Conv2d(channels, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU())
        blocks, before = [], widths[0]
        for stage, stage_width in enumerate(widths):
            for repeat in range(max(1, math.ceil(depth))):
                blocks.append(Block(before, stage_width, 2 if stage > 0 and repeat == 0 else 1))
                before = stage_width
        self.blocks = nn.Sequential(*blocks)
        self.classifier = nn.Linear(before, classes)

    def forward(self, image):
        return self.classifier(self.blocks(self.stem(image)).mean((2, 3)))


def network_of(request):
    """The same network for equal requests: its weights are drawn from the request's seed."""
    torch.manual_seed(request.get("seed", 0))
    scaled = request["multipliers"]
    width = request["params"].get("width", 16)
    return Residual(request["channels"], request["classes"], width, scaled["depth"], scaled["width"])


def write_onnx(network, request, name):
    """An ONNX file of any batch. Returns its SHA-256."""
    path = os.path.join(request["paths"]["out"], name)
    side = request["resolution"]
    network.eval()
    torch.onnx.export(
        network,
        (torch.zeros(2, request["channels"], side, side),),
        path,
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
        opset_version=17,
        dynamo=False,
    )
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def train(request, stopping):
    params = request["params"]
    size = int(params.get("batchSize", 32))
    torch.set_num_threads(int(params.get("threads", 1)))
    data = request["data"]
    (images, labels), holdout, normalise = read_data(data["file"], data["mean"], data["std"])
    network = network_of(request)
    peak = params.get("lr", 0.1 * size / 32)
    optimizer = torch.optim.SGD(network.parameters(), lr=peak, momentum=0.9, weight_decay=5e-4)
    steps = math.ceil(request["fidelity"]["examples"] / size)
    order = batches(len(labels), size, request["seed"])
    started = told = time.monotonic()
    network.train()
    for step in range(steps):
        if stopping():
            sys.exit(75)  # Interrupted: the same request begins anew.
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, peak, 0.2)
        chosen = next(order)
        loss = F.cross_entropy(network(normalise(images[chosen])), labels[chosen], label_smoothing=0.1)
        if not math.isfinite(loss.item()):
            return {"status": "infeasible", "reason": "diverged", "detail": f"after {step * size} examples"}
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step == 0 or time.monotonic() - told > 2:
            told = time.monotonic()
            event(t="progress", examples=(step + 1) * size, metrics={"loss": loss.item()})
    with torch.no_grad():
        accuracy, cross_entropy = score(network, holdout, normalise, torch.device("cpu"))
    found = {"split": "holdout", "n": len(holdout[1])}
    return {
        "status": "ok",
        "metrics": {"accuracy": {"value": accuracy, **found}, "crossEntropy": {"value": cross_entropy, **found}},
        "cost": {"deviceHours": (time.monotonic() - started) / 3600},
        "artefacts": [{"kind": "onnx", "path": "trained.onnx", "sha256": write_onnx(network, request, "trained.onnx")}],
    }


def main():
    request, _ = read_request()
    operation = request["op"]
    if operation == "describe":
        operations = ["describe", "build", "train-model"]
        return write_result(request, status="ok", name="torch-residual", version=torch.__version__, operations=operations)
    if operation == "build":
        write_onnx(network_of(request), request, "network.onnx")
        return write_result(request, status="ok", onnx="network.onnx")
    if operation != "train-model":
        refuse(request)
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    write_result(request, **train(request, lambda: bool(stopped)))


if __name__ == "__main__":
    main()
