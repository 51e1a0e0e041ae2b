"""The book's helpers: curves made smooth, data shuffled, patches of images as rows of a matrix and back.

Reads nothing; read by users. Random numbers are drawn as the book draws them.
"""

import numpy as np

_WINDOW = 11


def smooth_curve(x):
    """A curve of losses made smooth for a picture: the mean under a Kaiser window of 11 places.

    Parameters
    ----------
    x : sequence of float
        At least 11 values; the ends are mirrored.

    Returns
    -------
    ndarray
        As many values.
    """
    x = np.asarray(x)
    mirrored = np.concatenate([x[_WINDOW - 1 : 0 : -1], x, x[-1:-_WINDOW:-1]])
    window = np.kaiser(_WINDOW, 2)
    y = np.convolve(window / window.sum(), mirrored, mode="valid")
    return y[5 : len(y) - 5]


def shuffle_dataset(x, t):
    """Rows of x and t in one random order, drawn by ``np.random.permutation``."""
    if len(x) != len(t):
        raise ValueError(f"shuffle_dataset: x has {len(x)} rows, t has {len(t)}; wanted as many")
    order = np.random.permutation(x.shape[0])
    return x[order], t[order]


def conv_output_size(input_size, filter_size, stride=1, pad=0):
    """Width or height after a convolution."""
    return (input_size + 2 * pad - filter_size) / stride + 1


def im2col(input_data, filter_h, filter_w, stride=1, pad=0):
    """The patches that a filter sees, one in each row.

    Parameters
    ----------
    input_data : ndarray, (n, channels, height, width)
    filter_h, filter_w : int
    stride : int, default 1
    pad : int, default 0

    Returns
    -------
    ndarray, (n * out_h * out_w, channels * filter_h * filter_w)
    """
    n, channels, height, width = input_data.shape
    out_h = (height + 2 * pad - filter_h) // stride + 1
    out_w = (width + 2 * pad - filter_w) // stride + 1
    padded = np.pad(input_data, [(0, 0), (0, 0), (pad, pad), (pad, pad)])
    patches = np.lib.stride_tricks.sliding_window_view(padded, (filter_h, filter_w), axis=(2, 3))
    patches = patches[:, :, : stride * out_h : stride, : stride * out_w : stride]
    rows = patches.transpose(0, 2, 3, 1, 4, 5).reshape(n * out_h * out_w, channels * filter_h * filter_w)
    return rows.astype(np.float64)


def col2im(col, input_shape, filter_h, filter_w, stride=1, pad=0):
    """The images of whose patches `col` has the gradients, each pixel the sum over the patches that see it.

    Parameters
    ----------
    col : ndarray, (n * out_h * out_w, channels * filter_h * filter_w)
    input_shape : tuple
        (n, channels, height, width).
    filter_h, filter_w : int
    stride : int, default 1
    pad : int, default 0

    Returns
    -------
    ndarray, input_shape
    """
    n, channels, height, width = input_shape
    out_h = (height + 2 * pad - filter_h) // stride + 1
    out_w = (width + 2 * pad - filter_w) // stride + 1
    patches = col.reshape(n, out_h, out_w, channels, filter_h, filter_w).transpose(0, 3, 4, 5, 1, 2)
    image = np.zeros((n, channels, height + 2 * pad + stride - 1, width + 2 * pad + stride - 1))
    for i in range(filter_h):
        for j in range(filter_w):
            image[:, :, i : i + stride * out_h : stride, j : j + stride * out_w : stride] += patches[:, :, i, j]
    return image[:, :, pad : height + pad, pad : width + pad]
