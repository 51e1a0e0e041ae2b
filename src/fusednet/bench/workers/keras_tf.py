"""Keras 3 on TensorFlow; pool.py sets KERAS_BACKEND. Run by worker.py; most of it is keras_fit.py's."""

import keras_fit
import tensorflow as tf


class Library(keras_fit.KerasLibrary):
    steps_per_execution = 32
    _threads = 0

    def prepare(self, task):
        if self._threads != task.threads:  # TensorFlow takes it once, before its first operation
            tf.config.threading.set_intra_op_parallelism_threads(task.threads)
            tf.config.threading.set_inter_op_parallelism_threads(1)
            self._threads = task.threads
        super().prepare(task)
