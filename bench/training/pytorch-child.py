"""PyTorch's side: trains the graph of problem.json, eagerly, with SGD and momentum.

Usage: pytorch-child.py <folder> <threads> <contiguous|channels_last> <exact|symmetric>

Prints one line of JSON when it could step, then answers every line `run <n>` (see protocol.ts).
`symmetric` pads stride-2 convolutions equally on both sides, inside the convolution: another function
with the same shapes and the same work, for those who would write the network that way in PyTorch.
"""

import json
import math
import sys
import time
from collections import Counter
from pathlib import Path

import torch
import torch.nn.functional as F


def convolution(attributes, symmetric):
    top, left, bottom, right = attributes["pads"]
    stride, groups, dilation = attributes["stride"], attributes["groups"], attributes.get("dilation", 1)
    is_even = top == bottom and left == right
    if is_even or symmetric:
        # The larger side: as many outputs, since the odd pixel is at the end.
        padding = (max(top, bottom), max(left, right))
        return lambda x, w, b=None: F.conv2d(x, w, b, stride, padding, dilation, groups)
    return lambda x, w, b=None: F.conv2d(F.pad(x, (left, right, top, bottom)), w, b, stride, 0, dilation, groups)


def max_pool(attributes, _symmetric):
    top, left, bottom, right = attributes["pads"]
    kernel, stride = attributes["kernel"], attributes["stride"]
    if top == bottom and left == right and 2 * max(top, left) <= kernel:
        return lambda x: F.max_pool2d(x, kernel, stride, (top, left))
    return lambda x: F.max_pool2d(F.pad(x, (left, right, top, bottom), value=-math.inf), kernel, stride)


def average_pool(attributes, _symmetric):
    top, left, bottom, right = attributes["pads"]
    kernel, stride = attributes["kernel"], attributes["stride"]
    if (top, left) != (bottom, right):
        raise ValueError(f"expected an average pool padded equally on both sides, got {attributes['pads']}")
    return lambda x: F.avg_pool2d(x, kernel, stride, (top, left), count_include_pad=False)


def space_to_depth(attributes, _symmetric):
    block = attributes["block"]

    def apply(x):
        n, c, h, w = x.shape
        x = x.reshape(n, c, h // block, block, w // block, block)
        return x.permute(0, 3, 5, 1, 2, 4).reshape(n, block * block * c, h // block, w // block)

    return apply


def batch_norm(attributes, _symmetric):
    # Batch statistics only: neither side keeps running ones during a step.
    return lambda x, scale, shift, _mean, _variance: F.batch_norm(
        x, None, None, scale, shift, training=True, eps=attributes["epsilon"]
    )


OPERATORS = {
    "conv": convolution,
    "batch-norm": batch_norm,
    "max-pool": max_pool,
    "average-pool": average_pool,
    "space-to-depth": space_to_depth,
    "relu": lambda *_: F.relu,
    "relu6": lambda *_: F.relu6,
    "silu": lambda *_: F.silu,
    "hard-swish": lambda *_: F.hardswish,
    "sigmoid": lambda *_: torch.sigmoid,
    "hard-sigmoid": lambda *_: F.hardsigmoid,
    "global-average-pool": lambda *_: lambda x: F.adaptive_avg_pool2d(x, 1),
    "concat": lambda *_: lambda *xs: torch.cat(xs, 1),
    "add": lambda *_: torch.add,
    "gate": lambda *_: torch.mul,
    "flatten": lambda *_: lambda x: torch.flatten(x, 1),
    "dense": lambda *_: lambda x, w, b: torch.addmm(b, x, w),
}
# Where the overwritten value is a fresh one that no gradient needs; it saves PyTorch memory and time.
IN_PLACE = {"relu": torch.relu_, "add": lambda a, b: a.add_(b)}
OVERWRITABLE = {"batch-norm", "conv", "add"}


def compile_graph(graph, symmetric):
    """The graph as a list of (function, input names, output name, names not needed any more)."""
    uses = Counter(name for node in graph["nodes"] for name in node["inputs"])
    made_by = {output: node["op"] for node in graph["nodes"] for output in node["outputs"]}
    last_use = {name: node["name"] for node in graph["nodes"] for name in node["inputs"]}
    kept = {parameter["name"] for parameter in graph["parameters"]}
    program = []
    for node in graph["nodes"]:
        op, inputs = node["op"], node["inputs"]
        if op not in OPERATORS:
            raise ValueError(f"{node['name']}: expected one of {', '.join(OPERATORS)}, got {op}")
        overwrites = op in IN_PLACE and uses[inputs[0]] == 1 and made_by.get(inputs[0]) in OVERWRITABLE
        function = IN_PLACE[op] if overwrites else OPERATORS[op](node["attributes"], symmetric)
        ended = {name for name in inputs if last_use[name] == node["name"] and name not in kept}
        program.append((function, inputs, node["outputs"][0], ended))
    return program


def main():
    folder, threads, memory_format, padding = sys.argv[1:]
    torch.set_num_threads(int(threads))
    torch.set_flush_denormal(True)
    channels_last = memory_format == "channels_last"
    problem = json.loads(Path(folder, "problem.json").read_text())
    graph, settings = problem["graph"], problem["recipe"]
    values = torch.frombuffer(bytearray(Path(folder, "values.bin").read_bytes()), dtype=torch.float32)

    def load(tensor):
        shape = tensor["shape"]
        value = values[tensor["offset"] : tensor["offset"] + math.prod(shape)].reshape(shape).clone()
        return value.contiguous(memory_format=torch.channels_last) if channels_last and len(shape) == 4 else value

    stored = {tensor["name"]: load(tensor) for tensor in problem["tensors"]}
    del values
    labels = stored.pop("target").argmax(1)
    roles = {parameter["name"]: parameter["role"] for parameter in graph["parameters"]}
    trained = [name for name, role in roles.items() if not role.startswith("running")]
    for name in trained:
        stored[name].requires_grad_()
    decayed = [stored[name] for name in trained if roles[name] == "weight"]
    others = [stored[name] for name in trained if roles[name] != "weight"]
    optimizer = torch.optim.SGD(
        [{"params": decayed, "weight_decay": settings["weightDecay"]}, {"params": others}],
        lr=settings["learningRate"],
        momentum=settings["momentum"],
        fused=True,
    )
    program = compile_graph(graph, padding == "symmetric")
    logits = graph["outputs"][0]

    def step():
        optimizer.zero_grad(set_to_none=True)
        tensors = dict(stored)
        for function, inputs, output, ended in program:
            tensors[output] = function(*[tensors[name] for name in inputs])
            for name in ended:
                del tensors[name]
        loss = F.cross_entropy(tensors[logits], labels, label_smoothing=settings["labelSmoothing"])
        loss.backward()
        optimizer.step()
        return loss.item()

    def say(message):
        print(json.dumps(message), flush=True)

    count = sum(stored[name].numel() for name in trained)
    say({"runtime": f"PyTorch {torch.__version__}, {memory_format}", "parameterCount": count})
    for line in sys.stdin:
        turn = {"stepsMs": [], "losses": []}
        for _ in range(int(line.removeprefix("run "))):
            start = time.perf_counter()
            turn["losses"].append(step())
            turn["stepsMs"].append((time.perf_counter() - start) * 1000)
        say(turn)


main()
