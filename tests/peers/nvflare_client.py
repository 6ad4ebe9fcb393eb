"""The same client for NVFLARE's Client API, in the process that NVFLARE keeps for the run."""

import os
import sys
from pathlib import Path

import numpy as np
import nvflare.client as flare

sys.path.insert(0, os.environ["PEERS"])
from rows import train

flare.init()
name = flare.get_site_name()
while flare.is_running():
    model = flare.receive()
    if model is None:
        break
    coefficients, n_rows = train(Path(os.environ["PEERS_ROWS"]), name, np.asarray(model.params["numpy_key"]))
    metrics, meta = {"accuracy": 0.0}, {"NUM_STEPS_CURRENT_ROUND": n_rows}
    flare.send(flare.FLModel(params={"numpy_key": coefficients}, params_type="FULL", metrics=metrics, meta=meta))
