"""Keras 3 on JAX; pool.py sets KERAS_BACKEND. Run by worker.py; all of it is keras_fit.py's."""

from keras_fit import KerasLibrary


class Library(KerasLibrary):
    pass
