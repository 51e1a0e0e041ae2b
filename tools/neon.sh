#!/usr/bin/env bash
# Runs the kernel tests on NEON, on a machine that is not ARM: cross-compiles the extension, and runs the same pytest
# files under QEMU's user mode with an AArch64 Python.
#
#   tools/neon.sh [pytest arguments]       by default tests/test_kernels.py, on neon and on scalar
#
# a) Needs Debian or Ubuntu packages gcc-aarch64-linux-gnu and qemu-user, a host Python with cython and cmake (PYTHON
#    names it) and network. No root, no registration of binary formats, nothing outside of build/neon.
# b) The AArch64 Python and its libraries are Debian's packages of the host's release, got with apt into folders of
#    their own and unpacked; NumPy and pytest are their AArch64 wheels.
# c) Long double is 128 bits on AArch64 and is computed in software, twice: the float64 cases take long.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
work=$root/build/neon
python=${PYTHON:-python3}
sysroot=$work/root
mkdir -p "$work"

for tool in aarch64-linux-gnu-gcc qemu-aarch64 apt-get dpkg-deb; do
    command -v "$tool" >/dev/null || { echo "$tool is missing: apt install gcc-aarch64-linux-gnu qemu-user" >&2; exit 1; }
done

emulated_python() {
    PYTHONPATH=$work/site qemu-aarch64 -L "$sysroot" "$sysroot/usr/bin/python3" "$@"
}

# ---- an AArch64 Python, once -----------------------------------------------------------------------------------------

if ! [ -e "$sysroot/ready" ]; then
    rm -rf "$sysroot" "$work/apt"
    mkdir -p "$sysroot" "$work/apt/lists/partial" "$work/apt/archives/partial"
    touch "$work/apt/status"
    apt_arm64() {
        apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State="$work/apt" \
            -o Dir::State::lists="$work/apt/lists" -o Dir::State::status="$work/apt/status" \
            -o Dir::Cache="$work/apt" -o Dir::Cache::archives="$work/apt/archives" -o Debug::NoLocking=1 \
            -o APT::Sandbox::User="$(id -un)" "$@"
    }
    apt_arm64 update
    apt_arm64 -y --download-only --no-install-recommends install python3 libpython3-dev libstdc++6
    for package in "$work"/apt/archives/*.deb; do dpkg-deb -x "$package" "$sysroot"; done
    touch "$sysroot/ready"
fi
version=$(emulated_python -c 'import sys; print("%d.%d" % sys.version_info[:2])')

if ! [ -d "$work/site" ]; then
    "$python" -m pip install -q --target "$work/site.new" --only-binary :all: --implementation cp \
        --python-version "$version" --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 \
        --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 numpy pytest cython
    mv "$work/site.new" "$work/site"
fi

# ---- the extension ---------------------------------------------------------------------------------------------------

"$python" -m cmake --version >/dev/null 2>&1 && cmake=("$python" -m cmake) || cmake=(cmake)
export PYTHONPATH=$work/site  # Cython runs in the AArch64 Python, which CMake asks for its headers
PYTHONPATH='' "${cmake[@]}" -S "$root" -B "$work/build" -DCMAKE_BUILD_TYPE=Release -DSKBUILD_PROJECT_NAME=fusednet \
    -DCMAKE_TOOLCHAIN_FILE="$root/cmake/aarch64-linux-gnu.cmake" -DCMAKE_C_FLAGS="-I$sysroot/usr/include" \
    -DCMAKE_CROSSCOMPILING_EMULATOR="$(command -v qemu-aarch64);-L;$sysroot" \
    -DPython_EXECUTABLE="$sysroot/usr/bin/python$version"
"${cmake[@]}" --build "$work/build" -j "$(nproc)"
rm -rf "$work/site/fusednet"
cp -r "$root/src/fusednet" "$work/site/fusednet"
cp "$work"/build/_native*.so "$work/site/fusednet/_native.so"

# ---- the tests -------------------------------------------------------------------------------------------------------

cd "$root"
export PYTHONDONTWRITEBYTECODE=1 FUSEDNET_THREADS=2
if [ $# -gt 0 ]; then
    FUSEDNET_ISA=neon emulated_python -m pytest -q -p no:cacheprovider --backend native "$@"
else
    for isa in neon scalar; do
        echo "==== $isa on $(emulated_python -c 'import platform; print(platform.machine())')"
        FUSEDNET_ISA=$isa emulated_python -m pytest -q -p no:cacheprovider --backend native tests/test_kernels.py
    done
fi
