"""Latency in TensorRT by its trtexec, as a Ridgepoint target. Needs trtexec of TensorRT 8.6 or later; Python alone.

    command: [python3, trtexec_target.py, "{request}"]
    command: [python3, trtexec_target.py, /opt/tensorrt/bin/trtexec, "{request}"]

Engines are built by `prepare`, so that building is not measured; times come from --exportTimes, one entry a run. A time
is host to host: copies to the device, computation, copies back (`latencyMs` of trtexec).
"""

import json
import os
import subprocess
import sys

from ridgepoint_command import read_request, refuse, write_result, write_samples

precision_flags = {"fp32": ["--noTF32"], "fp16": ["--fp16"], "bf16": ["--bf16"], "int8": ["--int8", "--fp16"]}


def shapes_flag(request):
    """Shapes of inputs that the file leaves open; naming those it fixes is an error."""
    shapes = [f"{tensor['name']}:{'x'.join(map(str, tensor['shape']))}" for tensor in request["inputs"] if tensor["open"]]
    return ["--shapes=" + ",".join(shapes)] if shapes else []


def run(arguments):
    """Runs trtexec; its output goes to this program's log. Returns it."""
    found = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    print(found.stdout)
    return found


def why(output):
    """What TensorRT says of a model it cannot run, as a result; None where the cause is another."""
    errors = [line for line in output.splitlines() if "[E]" in line]
    text = "\n".join(errors[-5:])[:500]
    if "out of memory" in output.lower() or "OutOfMemory" in output:
        return {"status": "infeasible", "reason": "out-of-memory", "detail": text}
    if any(sign in output for sign in ("Unsupported operator", "UNSUPPORTED_NODE", "No importer registered for op")):
        return {"status": "infeasible", "reason": "unsupported", "detail": text}
    return None


def finish_failed(request, found):
    result = why(found.stdout)
    if result is None:
        sys.exit(f"trtexec ended with exit code {found.returncode}")
    write_result(request, **result)


def prepare(request, trtexec):
    engine = os.path.join(request["paths"]["out"], "model.plan")
    found = run(
        [trtexec, "--onnx=" + request["model"]["onnx"], "--saveEngine=" + engine, "--skipInference"]
        + shapes_flag(request)
        + precision_flags[request["precision"]]
    )
    if found.returncode != 0:
        return finish_failed(request, found)
    write_result(request, status="ok", prepared="model.plan")


def read_times(path):
    """Milliseconds of every run in a file of --exportTimes."""
    with open(path, encoding="utf-8") as file:
        return [entry["latencyMs"] for entry in json.load(file)]


def version_in(output):
    """The version in the first line, `&&&& RUNNING TensorRT.trtexec [TensorRT v8601] # …`."""
    start = output.find("[TensorRT v")
    return output[start + 11 : output.find("]", start)] if start >= 0 else "unknown"


def device_in(output):
    """The device's name in `[I] Selected Device: …`."""
    for line in output.splitlines():
        if "Selected Device:" in line:
            return line.split("Selected Device:")[1].strip()
    return "unknown"


def measure(request, trtexec):
    times = os.path.join(request["paths"]["work"], "times.json")
    sampling = request["sampling"]
    found = run(
        [
            trtexec,
            "--loadEngine=" + request["model"]["prepared"],
            f"--warmUp={round(1000 * sampling['warmupS'])}",
            # trtexec runs for at least so many seconds and at least so many times.
            f"--duration={max(1, round(sampling['durationS']))}",
            f"--iterations={sampling['minSamples']}",
            "--exportTimes=" + times,
        ]
        + shapes_flag(request)
    )
    if found.returncode != 0:
        return finish_failed(request, found)
    write_result(
        request,
        status="ok",
        samplesMs=write_samples(request, read_times(times)),
        includesIo=True,
        clock="device",  # CUDA events around copies and kernels
        precision=request["precision"],
        device={"name": device_in(found.stdout)},
        versions={"TensorRT": version_in(found.stdout)},
    )


def main():
    request, arguments = read_request()
    trtexec = arguments[0] if arguments else "trtexec"
    if request["op"] == "describe":
        try:
            found = subprocess.run([trtexec, "--help"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        except OSError as error:
            print(f"{trtexec}: {error}", file=sys.stderr)
            sys.exit(78)  # No use trying again on this machine.
        return write_result(
            request,
            status="ok",
            name="trtexec",
            version=version_in(found.stdout),
            operations=["describe", "prepare", "measure"],
            precisions=list(precision_flags),
        )
    if request["op"] == "prepare":
        return prepare(request, trtexec)
    if request["op"] == "measure":
        return measure(request, trtexec)
    refuse(request)


if __name__ == "__main__":
    main()
