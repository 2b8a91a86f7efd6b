"""What every command shares: read the request, say how it goes, write the result (see docs/commands.md)."""

import json
import os
import sys
from array import array


def read_request():
    """The request whose path is the last argument, and the arguments before it."""
    with open(sys.argv[-1], encoding="utf-8") as file:
        return json.load(file), sys.argv[1:-1]


def event(**fields):
    """One event, e.g. event(t="progress", examples=3200)."""
    print("@ridgepoint " + json.dumps(fields), flush=True)


def write_result(request, **result):
    """The result file, whole or not there: written beside and renamed."""
    path = request["paths"]["result"]
    with open(path + ".part", "w", encoding="utf-8") as file:
        json.dump(result, file)
    os.replace(path + ".part", path)


def write_samples(request, samples_ms):
    """Times of single runs as a file of float64, little-endian. Returns what the result calls it."""
    values = array("d", samples_ms)
    if sys.byteorder == "big":
        values.byteswap()
    with open(os.path.join(request["paths"]["out"], "samples.f64"), "wb") as file:
        values.tofile(file)
    return "samples.f64"


def refuse(request):
    """An operation this program does not have: any exit code but 0, 75 and 78 says that it failed."""
    sys.exit(f"expected an operation of this program, got {request.get('op')!r}")
