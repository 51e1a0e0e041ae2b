"""PyTorch with `torch.compile`: network and loss, forward and backward, compiled by Inductor; fused optimizers.

Run by worker.py; the rest is torch_eager.py's.

a) Sizes are fixed, so shapes are compiled in (`dynamic=False`).
b) The fused optimizer stays outside: it is one call already, and compiled it was not faster.
"""

import torch
import torch_eager


class Library(torch_eager.Library):
    def prepare(self, task):
        torch._dynamo.reset()  # of the job before
        super().prepare(task)
        self.loss_of = torch.compile(self._loss_of, dynamic=False)
        self._forward = torch.compile(self.model, dynamic=False)

    def forward(self, x):
        return self._forward(x)
