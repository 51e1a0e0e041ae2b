#!/bin/sh
# Makes one environment per library that bench/peers/run.py compares with, outside of the repository.
#
#     bench/peers/setup.sh [-d FOLDER] [ENVIRONMENT...]
#
# Run by hand, once; run.py looks for the environments in the same folder. a) An environment each, because the libraries
# bring runtimes and NumPy versions of their own. b) What is there already is left as it is; -d has run.py's default.
set -eu

folder="${XDG_CACHE_HOME:-$HOME/.cache}/fusednet/peers"
if [ "${1:-}" = "-d" ]; then
    folder="$2"
    shift 2
fi
[ $# -gt 0 ] || set -- torch jax keras_jax keras_tf sklearn onnx

for name in "$@"; do
    case "$name" in
    torch) packages="torch==2.13.0 numpy" ;; # from PyPI, where it is the build for processors alone
    jax) packages="jax" ;;
    keras_jax) packages="keras jax" ;;
    keras_tf) packages="keras tensorflow-cpu" ;;
    sklearn) packages="scikit-learn threadpoolctl" ;;
    onnx) packages="onnxruntime onnx" ;;
    *)
        echo "setup.sh: no environment $name; there are torch, jax, keras_jax, keras_tf, sklearn, onnx" >&2
        exit 2
        ;;
    esac
    if [ -e "$folder/$name/ready" ]; then
        echo "$name: there already"
        continue
    fi
    "${PYTHON:-python3}" -m venv "$folder/$name"
    # shellcheck disable=SC2086
    "$folder/$name/bin/pip" install --quiet --disable-pip-version-check $packages
    touch "$folder/$name/ready"
    named='^(torch|jax|keras|tensorflow[_-]cpu|scikit-learn|onnxruntime)=='
    echo "$name: $("$folder/$name/bin/pip" list --format=freeze | grep -iE "$named" | tr '\n' ' ')"
done
