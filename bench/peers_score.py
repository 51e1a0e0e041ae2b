"""Does it learn as well as others do? Test scores of the same networks trained here, in PyTorch and in Keras.

    python bench/peers_score.py                          # 5 seeds on each data set, a minute or two
    python bench/peers_score.py --seeds 20 --only housing
    python bench/peers_score.py --wrong                  # a tenth of the learning rate here: it has to be seen

Reads examples/mnist10k.py and examples/housing.py: their data, networks, epochs and batches. Peers that are not
installed are left out. Exit status 1 where a difference is 2 standard errors or more.

a) Peers get the network layer by layer from ours, with the same options; their first weights are drawn as ours are, by
   a model of another seed. Shuffling and dropout are their own.
b) The difference of two means is told in its standard errors, sqrt(s1^2 / n + s2^2 / n). Beyond 2 of them in one of a
   few comparisons may be chance; more seeds tell.
"""

import argparse
import importlib.util
import os
import sys
import time
from pathlib import Path

import numpy as np

import fusednet as fn

os.environ.setdefault("KERAS_BACKEND", "jax")
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples"))

import housing  # noqa: E402
import mnist10k  # noqa: E402

OTHER_SEEDS = 1000
"""Added to a peer's seeds, so that its first weights are not ours."""


class Mnist:
    """Accuracy on the test images, in percent."""

    module, unit = mnist10k, "%"

    def __init__(self, path: Path):
        self.x, self.y, self.x_test, self.y_test = self.module.load(path)
        self.shift, self.scale = 0.0, 1 / 255.0

    def score(self, predicted: np.ndarray) -> float:
        return 100 * float((predicted.argmax(axis=1) == self.y_test).mean())


class Housing:
    """Root mean squared error on the test houses, in thousands of dollars."""

    module, unit = housing, "k$"

    def __init__(self, path: Path):
        self.x, price, self.x_test, self.y_test = self.module.load(path)
        self.mean, self.deviation = price.mean(), price.std()
        self.y = (price - self.mean) / self.deviation
        self.shift, self.scale = self.x.mean(axis=0, dtype=np.float64), 1 / self.x.std(axis=0, dtype=np.float64)

    def score(self, predicted: np.ndarray) -> float:
        return housing.scores(self.y_test, predicted[:, 0] * self.deviation + self.mean)[0] / 1000


JOBS = {"mnist10k": Mnist, "housing": Housing}


def _start(job, seed: int) -> fn.Sequential:
    """A model of ours with first weights, for a peer to take over."""
    model = job.module.build(OTHER_SEEDS + seed)
    model.build(job.x.shape[1])
    return model


def _normalized(job):
    return [((x - job.shift) * job.scale).astype(np.float32) for x in (job.x, job.x_test)]


def _ours(job, seed: int, epochs: int, wrong: bool) -> np.ndarray:
    model = job.module.build(seed)
    if wrong:
        model.learning_rate = model.learning_rate / 10
    model.fit(job.x, job.y, batch_size=job.module.BATCH, epochs=epochs)
    return model.predict(job.x_test)


def _torch(job, seed: int, epochs: int, wrong: bool) -> np.ndarray:
    import torch

    torch.manual_seed(seed)
    started = _start(job, seed)
    weights, modules = started.memory.parameters, []
    for layer in started.layers:
        name = layer.name
        if isinstance(layer, fn.Dense):
            kernel, bias = weights[f"{name}/kernel"], weights[f"{name}/bias"]
            linear = torch.nn.Linear(*kernel.shape)
            with torch.no_grad():
                linear.weight.copy_(torch.tensor(kernel.T))
                linear.bias.copy_(torch.tensor(bias))
            modules.append(linear)
            if layer.activation.kind == "relu":
                modules.append(torch.nn.ReLU())
        elif isinstance(layer, fn.BatchNormalization):
            columns = len(weights[f"{name}/gamma"])
            modules.append(torch.nn.BatchNorm1d(columns, eps=layer.epsilon, momentum=1 - layer.momentum))
        elif isinstance(layer, fn.Dropout):
            modules.append(torch.nn.Dropout(layer.rate))
        elif isinstance(layer, fn.ReLU):
            modules.append(torch.nn.ReLU())
    network = torch.nn.Sequential(*modules)
    spec = started.optimizer_spec
    optimizer = torch.optim.Adam(network.parameters(), lr=started.learning_rate, betas=(spec.beta_1, spec.beta_2),
                                 eps=spec.epsilon)
    x, x_test = map(torch.tensor, _normalized(job))
    if job.module is mnist10k:
        y, loss = torch.tensor(job.y.astype(np.int64)), torch.nn.CrossEntropyLoss()
    else:
        y, loss = torch.tensor(job.y.astype(np.float32))[:, None], torch.nn.MSELoss()
    network.train()
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for begin in range(0, len(x), job.module.BATCH):
            index = order[begin : begin + job.module.BATCH]
            optimizer.zero_grad()
            loss(network(x[index]), y[index]).backward()
            optimizer.step()
    network.eval()
    with torch.no_grad():
        return network(x_test).numpy()


def _keras(job, seed: int, epochs: int, wrong: bool) -> np.ndarray:
    import keras

    keras.utils.set_random_seed(seed)
    started = _start(job, seed)
    layers = [keras.Input((job.x.shape[1],))]
    for layer in started.layers:
        if isinstance(layer, fn.Dense):
            layers.append(keras.layers.Dense(layer.units, activation=layer.activation.kind))
        elif isinstance(layer, fn.BatchNormalization):
            layers.append(keras.layers.BatchNormalization(momentum=layer.momentum, epsilon=layer.epsilon))
        elif isinstance(layer, fn.Dropout):
            layers.append(keras.layers.Dropout(layer.rate))
        elif isinstance(layer, fn.ReLU):
            layers.append(keras.layers.ReLU())
    network = keras.Sequential(layers)
    network.set_weights(started.get_weights())
    spec = started.optimizer_spec
    optimizer = keras.optimizers.Adam(started.learning_rate, spec.beta_1, spec.beta_2, spec.epsilon)
    network.compile(optimizer, "sparse_categorical_crossentropy" if job.module is mnist10k else "mse")
    x, x_test = _normalized(job)
    network.fit(x, job.y, batch_size=job.module.BATCH, epochs=epochs, verbose=0)
    return network.predict(x_test, verbose=0)


LIBRARIES = {"fusednet": _ours, "torch": _torch, "keras": _keras}


def _run(job, library: str, given, epochs: int) -> list[float]:
    begin = time.perf_counter()
    scores = [job.score(LIBRARIES[library](job, seed, epochs, given.wrong)) for seed in range(given.seeds)]
    seconds = time.perf_counter() - begin
    spread = np.std(scores, ddof=1)
    print(f"{library:9} {np.mean(scores):8.3f} +- {spread:.3f} {job.unit}  "
          f"({', '.join(f'{score:.2f}' for score in scores)}; {seconds:.1f} s)", flush=True)
    return scores


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=JOBS, default=list(JOBS), help="data sets")
    parser.add_argument("--peers", nargs="+", choices=[name for name in LIBRARIES if name != "fusednet"],
                        help="by default those that are installed")
    parser.add_argument("--data", type=Path, default=mnist10k.DATA.parent,
                        help="folder with mnist10k.npz and housing.csv (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=5, help="2 or more (default: 5)")
    parser.add_argument("--epochs", type=int, help="by default those of the examples")
    parser.add_argument("--wrong", action="store_true", help="train here with a tenth of the learning rate")
    given = parser.parse_args()
    if given.seeds < 2:
        parser.error(f"--seeds is {given.seeds}; wanted 2 or more, because the spread is measured")
    peers = given.peers or [name for name in LIBRARIES if name != "fusednet" and importlib.util.find_spec(name)]
    if not peers:
        parser.error("neither torch nor keras is installed; there is nothing to compare with")

    largest = 0.0
    for name in given.only:
        job = JOBS[name](given.data / JOBS[name].module.DATA.name)
        epochs = given.epochs or job.module.EPOCHS
        print(f"\n{name}: {epochs} epochs, {given.seeds} seeds. {JOBS[name].__doc__}")
        ours = _run(job, "fusednet", given, epochs)
        for library in peers:
            theirs = _run(job, library, given, epochs)
            error = np.sqrt((np.var(ours, ddof=1) + np.var(theirs, ddof=1)) / given.seeds)
            difference = np.mean(ours) - np.mean(theirs)
            largest = max(largest, abs(difference) / error)
            print(f"  fusednet - {library}: {difference:+.3f} {job.unit}, {difference / error:+.2f} standard errors")
    return int(largest >= 2)


if __name__ == "__main__":
    sys.exit(main())
