"""What may be called between the steps of a training: Keras's callbacks, under Keras's names.

Reads history.py and errors.py; read by the trainer, which knows `CallbackList` alone. Neither the model nor the trainer
is imported here: a callback gets its model through `Callback.set_model`.

a) Meaning, arguments and defaults are those of Keras 3 (https://keras.io/api/callbacks); where one differs, its
   docstring says how and why.
b) A callback says through `Callback.interval` after how many optimizer steps it wants to be called. One that overrides
   no method of a batch wants none, so that the native engine makes a whole epoch in one go.
c) What a callback knows about the training under way is in `Callback.state_dict`, so that a training which is stopped
   and gone on with ends as if it had not been stopped.
"""

from fusednet.callbacks._base import Callback, LambdaCallback, TerminateOnNaN
from fusednet.callbacks._checkpoints import BackupAndRestore, ModelCheckpoint
from fusednet.callbacks._csv_logger import CSVLogger
from fusednet.callbacks._early_stopping import EarlyStopping
from fusednet.callbacks._learning_rate import LearningRateScheduler, ReduceLROnPlateau
from fusednet.callbacks._list import CallbackList, wants_batches
from fusednet.callbacks._progress import ProgressBar
from fusednet.callbacks._tensorboard import TensorBoard
from fusednet.history import History

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ProgressBar",
    "ReduceLROnPlateau",
    "TensorBoard",
    "TerminateOnNaN",
    "wants_batches",
]
