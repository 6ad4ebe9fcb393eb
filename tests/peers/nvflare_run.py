"""The same federation on NVFLARE's POC: a server and clients in processes of their own, TLS on both sides."""

import json
import sys
import time
from pathlib import Path

import numpy as np
from nvflare.app_common.np.recipes.fedavg import NumpyFedAvgRecipe
from nvflare.recipe import PocEnv


class Timed(PocEnv):
    """POC that notes when its services stand and the job is handed over, and when its result is there."""

    handed_over = ended = 0.0

    def _get_session_manager(self):
        self.handed_over = self.handed_over or time.time()
        return super()._get_session_manager()

    def get_job_result(self, job_id, timeout=0.0):
        """Wait for the result."""
        result = super().get_job_result(job_id, timeout)
        self.ended = time.time()
        return result


folder, clients, features, rounds = Path(sys.argv[1]), sys.argv[2].split(","), int(sys.argv[3]), int(sys.argv[4])
recipe = NumpyFedAvgRecipe(
    name="peers", model=np.zeros(features + 1).tolist(), min_clients=len(clients), num_rounds=rounds,
    train_script=str(Path(__file__).with_name("nvflare_client.py")),
)  # fmt: skip
environment, began = Timed(num_clients=len(clients), clients=clients), time.time()
run = recipe.execute(environment)
run.get_result(timeout=600.0)
times = {
    "up": environment.handed_over - began,
    "run": environment.ended - environment.handed_over,
    "status": str(run.get_status()),
}
(folder / "nvflare.json").write_text(json.dumps(times))
