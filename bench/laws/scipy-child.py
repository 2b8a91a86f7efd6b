"""The reference fit in SciPy: L-BFGS-B with the analytic gradient from every start, one thread.

Reads a line of JSON for each turn: columns and starts once, then {"tight": bool}; answers each with a line of JSON.
"""

import json
import sys
import time

import numpy as np
import scipy
from scipy.optimize import minimize


def main():
    problem = json.loads(sys.stdin.readline())
    log_params, log_data, log_loss = (np.array(problem[key]) for key in ("logParams", "logData", "logLoss"))
    delta = problem["delta"]

    def objective(theta):
        a, b, e, alpha, beta = theta
        terms = np.stack([a - alpha * log_params, b - beta * log_data, np.full_like(log_params, e)])
        most = terms.max(axis=0)
        shares = np.exp(terms - most)
        total = shares.sum(axis=0)
        residual = most + np.log(total) - log_loss
        size = np.abs(residual)
        value = np.where(size <= delta, residual**2 / 2, delta * (size - delta / 2)).sum()
        x, y, floor = shares / total * np.clip(residual, -delta, delta)
        return value, np.array([x.sum(), y.sum(), floor.sum(), -(x @ log_params), -(y @ log_data)])

    print(json.dumps({"scipy": scipy.__version__, "numpy": np.__version__}), flush=True)
    for line in sys.stdin:
        options = {"ftol": 1e-15, "gtol": 1e-9, "maxfun": 100000, "maxiter": 20000} if json.loads(line)["tight"] else {}
        wall, cpu = time.perf_counter(), time.process_time()
        results = [minimize(objective, start, jac=True, method="L-BFGS-B", options=options) for start in problem["starts"]]
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        best = min(results, key=lambda result: result.fun)
        reached = sum(result.fun <= best.fun + 1e-6 for result in results)
        answer = {
            "seconds": wall,
            "cpuSeconds": cpu,
            "objective": float(best.fun),
            "theta": best.x.tolist(),
            "reached": int(reached),
            "evaluations": int(sum(result.nfev for result in results)),
        }
        print(json.dumps(answer), flush=True)


main()
