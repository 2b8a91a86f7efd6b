"""Optuna's samplers on a table of two losses, whose rows it asks for (optuna.ts answers).

The first line of stdin: {"options": [5, 5, …], "sampler": "nsga2", "population": 20, "trials": 200, "seeds": [0, …]}
Then for every point asked for, `0,3,…` on stdout, a line [a, b] on stdin. Each finished run is a line
{"ms": [processor time of each trial, …], "version": "…"}.
"""

import json
import sys
import time
import warnings

import optuna

problem = json.loads(sys.stdin.readline())
optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
tags = [f"x{index}" for index in range(len(problem["options"]))]


def sampler(seed):
    if problem["sampler"] == "nsga2":
        return optuna.samplers.NSGAIISampler(population_size=problem["population"], seed=seed)
    if problem["sampler"] == "tpe":
        return optuna.samplers.TPESampler(seed=seed)
    return optuna.samplers.RandomSampler(seed=seed)


for seed in problem["seeds"]:
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler(seed))
    # Waiting for an answer takes no processor time.
    clock = [time.process_time()]

    def objective(trial):
        choices = zip(tags, problem["options"])
        point = ",".join(str(trial.suggest_categorical(tag, list(range(count)))) for tag, count in choices)
        clock.append(time.process_time())
        print(point, flush=True)
        return json.loads(sys.stdin.readline())

    study.optimize(objective, n_trials=problem["trials"])
    milliseconds = [round(1e3 * (after - before), 3) for before, after in zip(clock, clock[1:])]
    print(json.dumps({"ms": milliseconds, "version": optuna.__version__}), flush=True)
