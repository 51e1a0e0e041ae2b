"""What is odd but legal in trainings: names, copies, one class, threads and forks, weights that are not finite."""

import copy
import os
import threading

import numpy as np
import pytest
from fits import blobs, classifier, outcome

import fusednet as fn


@pytest.mark.parametrize("names", [("dense", "d dense"), ("dense", "d"), ("x", "dy"), ("loss", "order")])
def test_names_of_layers_change_nothing(names):
    x, y = blobs()

    def trained(*names):
        model = fn.Sequential([*(fn.Dense(4, "tanh", name=name) for name in names), fn.Dense(3)], seed=0)
        model.compile("adam", "sparse_categorical_crossentropy")
        return model.fit(x, y, epochs=3).history["loss"], model.get_weights()

    (loss, weights), (wanted, plain) = trained(*names), trained("a", "b")
    assert loss == wanted and all(map(np.array_equal, weights, plain))


def test_the_first_epoch_where_there_is_nothing_to_resume():
    x, y = blobs()
    one, other = (classifier().fit(x, y, initial_epoch=5, epochs=8, resume=resume) for resume in (False, True))
    assert one.epoch == other.epoch == [5, 6, 7] and one.history == other.history


@pytest.mark.parametrize("y, activation", [(np.zeros(20, int), None), (np.zeros(20, int), "softmax"),
                                           (np.array(["a"] * 20), "softmax")])
def test_one_class_is_what_is_predicted(y, activation):
    x = np.random.default_rng(0).normal(size=(20, 4))
    model = fn.Sequential([fn.Dense(1, activation)], seed=0)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y)
    assert np.array_equal(model.predict_classes(x), y) and model.evaluate(x, y)[1] == 1


def test_a_copy_is_a_whole_one():
    x, y = blobs()
    model = classifier("adam")
    model.fit(x, y)
    before = outcome(model)
    other = copy.copy(model)
    other.fit(x, y, epochs=3)
    assert outcome(model) == before and other.step == 4 * model.step


def test_a_step_beside_a_training_in_another_thread_is_refused():
    x, y = blobs()
    model, begun, through = classifier(), threading.Event(), threading.Event()

    def wait(epoch, logs):
        begun.set()
        assert through.wait(60)
        model.train_on_batch(x, y)  # on its own thread it may

    thread = threading.Thread(target=model.fit, args=(x, y), kwargs={
        "callbacks": fn.LambdaCallback(on_epoch_end=wait)})
    thread.start()
    assert begun.wait(60)
    with pytest.raises(RuntimeError, match="being trained in another thread"):
        model.train_on_batch(x, y)
    through.set()
    thread.join()
    model.train_on_batch(x, y)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_of_a_fork_trains_what_its_parent_was_training():
    x, y = blobs()
    model, begun, through = classifier(), threading.Event(), threading.Event()
    thread = threading.Thread(target=model.fit, args=(x, y), kwargs={
        "callbacks": fn.LambdaCallback(on_epoch_end=lambda *_: begun.set() or through.wait(60))})
    model.train_on_batch(x, y)
    thread.start()
    assert begun.wait(60)
    with model._stepper._alone:  # as if another thread were within a step
        child = os.fork()
        if child == 0:
            try:
                model.train_on_batch(x, y)
                model.fit(x, y)
                os._exit(0)
            except BaseException:
                os._exit(1)
    through.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_weights_that_are_not_finite_are_not_an_updates_fault():
    x, y = blobs()
    model = classifier()
    model.fit(x, y)
    model.set_weights([w * np.inf for w in model.get_weights()])
    with pytest.warns(fn.TrainingWarning):
        assert "the weights were not finite when the training began" in model.fit(x, y).stopped


def test_weights_that_the_dtype_cannot_hold_are_refused():
    model = classifier(dtype="float32")
    model.build(5)
    weights = model.get_weights()
    with pytest.raises(ValueError, match=r"set_weights: dense_1/bias has 1e\+39; wanted numbers that float32 can hold"):
        model.set_weights([*weights[:-1], np.full(3, 1e39)])
    assert all(map(np.array_equal, model.get_weights(), weights))


def test_a_schedule_that_fails_later_leaves_the_steps_before():
    x, y = blobs(96)
    model = classifier(fn.SGD(lambda step: 0.01 if step < 10 else -1))
    with pytest.raises(ValueError, match=r"at step 10: .* is -1"):
        model.fit(x, y, epochs=5)
    assert model.step == 10 and model.history.epoch == [0, 1, 2]
