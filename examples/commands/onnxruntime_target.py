"""Latency in Python's onnxruntime, as a Ridgepoint target. Needs onnxruntime and numpy.

    command: [python3, onnxruntime_target.py, "{request}"]
    command: [python3, onnxruntime_target.py, CUDAExecutionProvider, "{request}"]
"""

import os
import platform
import sys
import time

import numpy as np
import onnxruntime as ort

from ridgepoint_command import read_request, refuse, write_result, write_samples


def cpu_name():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(": ")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def open_session(request, provider):
    options = ort.SessionOptions()
    options.intra_op_num_threads = request["threads"]
    options.inter_op_num_threads = 1
    # Deployments flush denormals; without it, weights near zero make a network slow.
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    # What the provider cannot run must not run elsewhere unnoticed.
    if provider != "CPUExecutionProvider":
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return ort.InferenceSession(request["model"]["onnx"], options, providers=[provider])


def random_inputs(request):
    random = np.random.default_rng(0)
    feeds = {}
    for tensor in request["inputs"]:
        if tensor["dtype"] != "float32":
            sys.exit(f"{tensor['name']}: expected float32, got {tensor['dtype']}")
        feeds[tensor["name"]] = random.random(tensor["shape"], dtype=np.float32)
    return feeds


def measure(request, provider):
    session = open_session(request, provider)
    feeds = random_inputs(request)
    sampling = request["sampling"]

    def run():
        start = time.perf_counter_ns()
        session.run(None, feeds)
        return (time.perf_counter_ns() - start) / 1e6

    warm = time.perf_counter() + sampling["warmupS"]
    while time.perf_counter() < warm:
        run()
    samples = []
    end = time.perf_counter() + sampling["durationS"]
    while len(samples) < sampling["minSamples"] or time.perf_counter() < end:
        samples.append(run())
    return samples


def main():
    request, arguments = read_request()
    provider = arguments[0] if arguments else "CPUExecutionProvider"
    if request["op"] == "describe":
        if provider not in ort.get_available_providers():
            print(f"expected a provider among {ort.get_available_providers()}, got {provider}", file=sys.stderr)
            sys.exit(78)  # No use trying again here.
        return write_result(
            request,
            status="ok",
            name="onnxruntime-python",
            version=ort.__version__,
            operations=["describe", "measure"],
            precisions=["fp32"],
        )
    if request["op"] != "measure":
        refuse(request)
    try:
        samples = measure(request, provider)
    except (ort.capi.onnxruntime_pybind11_state.NotImplemented, ort.capi.onnxruntime_pybind11_state.InvalidGraph) as error:
        return write_result(request, status="infeasible", reason="unsupported", detail=str(error)[:500])
    write_result(
        request,
        status="ok",
        samplesMs=write_samples(request, samples),
        includesIo=True,
        clock="host",
        precision="fp32",
        device={"name": cpu_name(), "host": platform.node(), "os": platform.platform(), "cores": os.cpu_count()},
        versions={"onnxruntime": ort.__version__, "python": platform.python_version(), "provider": provider},
    )


if __name__ == "__main__":
    main()
