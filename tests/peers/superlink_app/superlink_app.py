"""The same federation as an app of Flower's: one message a round, as what it evaluates would be a second."""

import os
import sys
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

sys.path.insert(0, os.environ["PEERS"])
from rows import train

client = ClientApp()
server = ServerApp()


@client.train()
def fit(message: Message, context: Context) -> Message:
    """Train once."""
    folder, name = Path(context.run_config["folder"]), context.node_config["name"]
    coefficients, n_rows = train(folder, name, message.content["arrays"].to_numpy_ndarrays()[0])
    content = {"arrays": ArrayRecord([coefficients]), "metrics": MetricRecord({"num-examples": n_rows})}
    return Message(RecordDict(content), reply_to=message)


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Average as often as asked."""
    config = context.run_config
    strategy = FedAvg(
        fraction_evaluate=0.0, min_evaluate_nodes=0, min_train_nodes=config["clients"],
        min_available_nodes=config["clients"],
    )  # fmt: skip
    start = ArrayRecord([np.zeros(config["features"] + 1)])
    result = strategy.start(grid=grid, initial_arrays=start, num_rounds=config["rounds"])
    np.save(Path(config["folder"]) / "model.npy", result.arrays.to_numpy_ndarrays()[0])
