"""Latency in TensorFlow Lite by its benchmark_model, as a Ridgepoint target. Python alone runs it.

    command: [python3, tflite_target.py, ./convert.sh, ./benchmark_model, "{request}"]

`convert.sh model.onnx model.tflite batch` is yours: Ridgepoint knows nothing of TensorFlow. benchmark_model prints a summary
of its runs, not the runs, so latencies are marked as reported. Of its percentiles there are p5, p50 and p95: the p95 stands
in for the p90, which it cannot be below. Versions that print an average only are refused, for an average is no median.
"""

import os
import re
import subprocess
import sys

from ridgepoint_command import read_request, refuse, write_result

statistics = re.compile(r"count=(\d+) .*\bp5=([\d.e+]+) median=([\d.e+]+) p95=([\d.e+]+)")


def run(arguments):
    """Runs a program; its output goes to this program's log. Returns it."""
    found = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    print(found.stdout)
    if found.returncode != 0:
        sys.exit(f"{arguments[0]} ended with exit code {found.returncode}")
    return found.stdout


def read_percentiles(output):
    """p50 and p95 of the timed runs in milliseconds: the last line of statistics; the one before is of the warm-up."""
    found = statistics.findall(output)
    if len(found) < 2:
        raise ValueError("expected lines of statistics with p5, median and p95; this benchmark_model is too old")
    _count, _p5, median, p95 = found[-1]
    return float(median) / 1e3, float(p95) / 1e3


def main():
    request, arguments = read_request()
    if len(arguments) != 2:
        sys.exit("expected the arguments: converter, benchmark_model, request")
    converter, benchmark = arguments
    if request["op"] == "describe":
        missing = [path for path in arguments if not os.access(path, os.X_OK)]
        if missing:
            print(f"expected programs, got {', '.join(missing)}", file=sys.stderr)
            sys.exit(78)  # No use trying again on this machine.
        return write_result(
            request,
            status="ok",
            name="tflite-benchmark-model",
            version="1",
            operations=["describe", "prepare", "measure"],
            precisions=["fp32"],
        )
    if request["op"] == "prepare":
        model = os.path.join(request["paths"]["out"], "model.tflite")
        run([converter, request["model"]["onnx"], model, str(request["batch"])])
        return write_result(request, status="ok", prepared="model.tflite")
    if request["op"] != "measure":
        refuse(request)
    sampling = request["sampling"]
    output = run(
        [
            benchmark,
            "--graph=" + request["model"]["prepared"],
            f"--num_threads={request['threads']}",
            f"--warmup_min_secs={sampling['warmupS']}",
            f"--num_runs={sampling['minSamples']}",
            f"--min_secs={sampling['durationS']}",
        ]
    )
    p50, p95 = read_percentiles(output)
    write_result(
        request,
        status="ok",
        percentilesMs={"p50": p50, "p90": p95},
        includesIo=False,
        clock="host",
        precision=request["precision"],
    )


if __name__ == "__main__":
    main()
