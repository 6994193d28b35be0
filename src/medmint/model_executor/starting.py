"""Starting a worker for a plan: the right interpreter, threads and cards, the package loaded."""

from __future__ import annotations

import os
import sys
from collections.abc import Hashable
from pathlib import Path

from medmint.model_executor.plan import Plan
from medmint.packages.contract import load_job
from medmint.packages.environments.interpreters import package_folders
from medmint.packages.workers.process import InlineWorker, Worker, WorkerProcess

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def worker_key(plan: Plan) -> Hashable:
    """Return what two plans must have in common to be carried out by one worker of a device."""
    package = plan.package
    return (
        package.root,
        package.sha256,
        package.weights_sha256,
        plan.threads,
        plan.python,
        plan.isolation,
    )


def start_worker(plan: Plan) -> Worker:
    """Start a worker and let it load the package."""
    worker = _start(plan)
    try:
        worker.load(load_job(plan.record, plan.package, plan.device))
    except BaseException:
        worker.close()
        raise
    return worker


def _start(plan: Plan) -> Worker:
    if plan.isolation == "none":
        return InlineWorker(plan.record.model_id)
    environment = dict.fromkeys(_THREAD_VARIABLES, str(plan.threads))
    if plan.python == Path(sys.executable):
        # A worker sees neither the user's site-packages nor PYTHONPATH by itself.
        environment["PYTHONPATH"] = os.pathsep.join(map(str, package_folders()))
    if plan.record.execution.contract == "generate":
        environment |= _visible_cards(plan.device)
    root = plan.package.root
    return WorkerProcess(plan.record.model_id, root, python=plan.python, environment=environment)


def _visible_cards(device: str) -> dict[str, str]:
    """Choose for packages that take whatever card they see: none, or the one asked for."""
    if device == "cpu":
        return {"CUDA_VISIBLE_DEVICES": ""}
    if not device.startswith("cuda"):
        return {}
    number = int(device.partition(":")[2] or 0)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    cards = visible.split(",") if visible else []
    return {"CUDA_VISIBLE_DEVICES": cards[number] if number < len(cards) else str(number)}
