"""Optuna's samplers on a table of two losses, whose rows it asks for (optuna.ts answers).

The first line of stdin: {"options": [5, 5, …], "sampler": "nsga2", "population": 20, "trials": 200, "seeds": [0, …]}
Then for every point asked for, `0,3,…` on stdout, a line [a, b] on stdin. Each finished run is a line
{"points": ["0,3,…", …], "version": "…"}.
"""

import json
import sys
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
    points = []

    def objective(trial):
        choices = zip(tags, problem["options"])
        point = ",".join(str(trial.suggest_categorical(tag, list(range(count)))) for tag, count in choices)
        points.append(point)
        print(point, flush=True)
        return json.loads(sys.stdin.readline())

    study.optimize(objective, n_trials=problem["trials"])
    print(json.dumps({"points": points, "version": optuna.__version__}), flush=True)
