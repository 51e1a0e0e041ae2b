"""PyTorch without compilation: `nn.Sequential`, fused optimizers, data as tensors in memory.

Run by worker.py; torch_compile.py builds on it.

a) Rows are gathered once per epoch and then split into views: a `DataLoader` would cost more than the small jobs.
b) `fused=True` does an optimizer's step in one call for all parameters.
"""

import adapter
import numpy as np
import torch
from torch import nn

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}


def network(task: adapter.Task) -> nn.Sequential:
    layers, width = [], task.features
    for units in task.hidden:
        layers.append(nn.Linear(width, units))
        if task.batch_norm:
            layers.append(nn.BatchNorm1d(units, eps=adapter.EPSILON, momentum=1 - adapter.MOMENTUM))
        layers.append(ACTIVATIONS[task.activation]())
        if task.dropout:
            layers.append(nn.Dropout(task.dropout))
        width = units
    model = nn.Sequential(*layers, nn.Linear(width, task.outputs))
    dense = [layer for layer in model if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        for layer, kernel in zip(dense, task.kernels, strict=True):
            layer.weight.copy_(torch.from_numpy(kernel.T.copy()))
            layer.bias.zero_()
    return model


def optimizer(task: adapter.Task, parameters) -> torch.optim.Optimizer:
    if task.optimizer == "adam":
        return torch.optim.Adam(parameters, task.rate, betas=adapter.ADAM[:2], eps=adapter.ADAM[2], fused=True)
    momentum = adapter.SGD_MOMENTUM if task.optimizer == "momentum" else 0.0
    return torch.optim.SGD(parameters, task.rate, momentum=momentum, fused=True)


class Library(adapter.Library):
    package = "torch"

    def prepare(self, task):
        torch.set_num_threads(task.threads)
        torch.manual_seed(task.seed)
        self.model = network(task)
        self.x, self.y = torch.from_numpy(task.x), torch.from_numpy(task.y)
        if task.loss == "ce":
            self.y = self.y.long()
        self.criterion = nn.CrossEntropyLoss() if task.loss == "ce" else nn.MSELoss()
        self.optimizer = optimizer(task, self.model.parameters())
        self.loss_of = self._loss_of

    def _loss_of(self, x, y):
        return self.criterion(self.model(x), y)

    def epoch(self):
        self.model.train()
        order = torch.randperm(len(self.x))
        batches = zip(self.x[order].split(self.task.batch), self.y[order].split(self.task.batch), strict=True)
        for x, y in batches:
            self.optimizer.zero_grad(set_to_none=True)
            self.loss_of(x, y).backward()
            self.optimizer.step()

    def forward(self, x):
        return self.model(x)

    def predict(self, x):
        if self.model.training:
            self.model.eval()
        with torch.inference_mode():
            return np.asarray(self.forward(torch.from_numpy(x)))
