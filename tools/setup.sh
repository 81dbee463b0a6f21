#!/bin/sh
# Sets up all that attendo needs to be built, tested and run. What is in place is left alone: a second run does nothing.
#
#   tools/setup.sh tools     Python, a virtual environment in .venv, and the Python packages in it
#   tools/setup.sh build     that, the compiler and the system's headers, and the package itself, compiled  (the default)
#   tools/setup.sh bench     that, and PyTorch to compare with, in an environment of its own in build/bench-venv
#
#   PYTHON=python3.12 tools/setup.sh     another interpreter than the first good one on PATH
#
# Every step writes its output to build/log/; when one fails, a line or two say what failed and what to do.
set -eu
unset CDPATH
cd "$(dirname "$0")/.."
root=$(pwd -P)

goal=${1:-build}
case $goal in
  tools | build | bench) ;;
  *)
    echo "usage: tools/setup.sh [tools|build|bench]" >&2
    exit 2
    ;;
esac

# Nothing of the caller's Python, and nothing of make's job server (ninja would take part in it), may leak in.
unset PYTHONPATH PYTHONHOME PIP_TARGET PIP_PREFIX MAKEFLAGS MFLAGS
export PYTHONNOUSERSITE=1 PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

venv=.venv
log=build/log
mkdir -p "$log" 2>/dev/null || {
  echo "attendo: cannot write to $root: make it writable or copy the source elsewhere." >&2
  exit 1
}

# Two makes at once take turns.
if command -v flock >/dev/null 2>&1; then
  exec 9>build/.lock
  flock -n 9 || {
    echo "attendo: waiting for another make in this folder" >&2
    flock 9
  }
fi

say() { printf 'attendo: %s\n' "$*" >&2; }
die() {
  say "$@"
  exit 1
}

# ---------------------------------------------------------------------------------------------------- running a step

# What a log says went wrong, in one line, and what to do about it, in another.
explain() { # log
  if grep -qE 'No space left on device' "$1"; then
    say "  the disk is full: free some space (the build and .venv take about 1 GB) and run make again."
  elif grep -qE 'Temporary failure in name resolution|NewConnectionError|ConnectTimeout|Connection refused|Network is unreachable|ProxyError|Could not resolve|Failed to resolve|Temporary failure resolving' "$1"; then
    say "  no network: connect (or point pip at a mirror with PIP_INDEX_URL or PIP_FIND_LINKS) and run make again."
  elif grep -qE 'Killed signal|fatal error: Killed|out of memory|Cannot allocate memory' "$1"; then
    say "  out of memory: run make again with CMAKE_BUILD_PARALLEL_LEVEL=1 in front."
  else
    # The compiler's first error, or CMake's, or ld's, or pip's and apt's.
    for pattern in ':[0-9]+: (fatal )?error:' 'CMake Error' 'undefined reference' '^ *(ERROR|E|error):'; do
      if grep -qE "$pattern" "$1"; then
        say " $(grep -m 1 -A 3 -E "$pattern" "$1" | head -n "$([ "$pattern" = 'CMake Error' ] && echo 4 || echo 1)" |
          tr -s '\n ' ' ' | cut -c 1-300)"
        return
      fi
    done
    say "  its last line: $(tail -n 1 "$1" | cut -c 1-300)"
  fi
}

# On a terminal, shows how far ninja has come while a step runs.
watch() { # label log
  while sleep 1; do
    progress=$(grep -oE '\[[0-9]+/[0-9]+\]' "$2" 2>/dev/null | tail -n 1)
    [ -z "$progress" ] || printf '\rattendo: %s %s ' "$1" "$progress" >&2
  done
}

step() { # label name command...
  label=$1 output=$log/$2.log
  shift 2
  say "$label (output in $output)"
  : >"$output"
  watcher=
  if [ -t 2 ]; then
    watch "$label" "$output" 9>&- &
    watcher=$!
  fi
  status=0
  "$@" >"$output" 2>&1 </dev/null 9>&- || status=$?
  if [ -n "$watcher" ]; then
    kill "$watcher" 2>/dev/null || true
    wait "$watcher" 2>/dev/null || true
    printf '\r\033[K' >&2
  fi
  if [ "$status" -ne 0 ]; then
    say "failed: $label. All of it is in $output"
    explain "$output"
  fi
  return "$status"
}

# -------------------------------------------------------------------------------------------------- system packages

# Installs Debian packages with apt, or says which line to run and how others get the same, and stops.
install_system() { # "what is missing, in words" package...
  what=$1
  shift
  reason=
  if ! command -v apt-get >/dev/null 2>&1; then
    reason="there is no apt-get here to install them with"
  elif [ "$(id -u)" -eq 0 ]; then
    sudo=
  elif command -v sudo >/dev/null 2>&1 && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
    sudo=sudo
    say "installing with sudo: $*"
    sudo -v || reason="sudo refused"
  else
    reason="installing them takes root, and sudo does not work here without a password"
  fi
  if [ -z "$reason" ]; then
    # A list of packages that cannot be refreshed may still do.
    step "refreshing apt's lists" apt-update ${sudo:+$sudo} apt-get update || true
    if step "installing $*" apt-install ${sudo:+$sudo} env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y --no-install-recommends "$@"; then
      return 0
    fi
    reason="apt-get failed"
  fi
  say "missing: $what; $reason. Install them with one of these lines, then run make again:"
  say "  Debian, Ubuntu   sudo apt-get update && sudo apt-get install -y $*"
  say "  conda-forge      conda install -c conda-forge 'python>=3.10' cxx-compiler xtensor tbb-devel libhwy"
  say "  Homebrew         brew install python xtensor tbb highway"
  exit 1
}

# --------------------------------------------------------------------------------------------------------- Python

# Prints "3.11 complete" or "3.11 incomplete"; fails for anything that is not CPython 3.10 or later. Complete: it can
# make a virtual environment with pip in it, and has the headers to compile against.
probe_python() {
  "$1" -c '
import os, sys, sysconfig
if sys.version_info < (3, 10) or sys.implementation.name != "cpython":
    sys.exit(1)
complete = os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h"))
try:
    import ensurepip, venv
except ImportError:
    complete = False
print("%d.%d" % sys.version_info[:2], "complete" if complete else "incomplete")
' 2>/dev/null
}

# Sets `python` to the interpreter to use: $PYTHON, or the first complete one on PATH, or the first that is new enough.
find_python() {
  python='' found=''
  if [ -n "${PYTHON:-}" ]; then
    found=$(probe_python "$PYTHON") ||
      die "PYTHON=$PYTHON is not a CPython of version 3.10 or later: give another one, or leave PYTHON out."
    python=$PYTHON
    return
  fi
  for candidate in python3 python3.14 python3.13 python3.12 python3.11 python3.10 python; do
    answer=$(probe_python "$candidate") || continue
    case $answer in
      *' complete')
        python=$candidate found=$answer
        return
        ;;
      *)
        [ -n "$python" ] || python=$candidate found=$answer
        ;;
    esac
  done
}

need() { # "what, in words" package...
  words="${words:+$words, }$1"
  shift
  packages="${packages:+$packages }$*"
}

missing_python() {
  find_python
  case $found in
    *' complete') ;;
    '') need "Python 3.10 or later" python3 python3-venv python3-dev ;;
    *) need "venv and headers of Python ${found%% *}" "python${found%% *}-venv" "python${found%% *}-dev" ;;
  esac
}

# ---------------------------------------------------------------------------------------------- compiler and headers

# Succeeds if the compiler finds one of the headers, in its own folders or those of conda, Homebrew and CMAKE_PREFIX_PATH.
has_header() { # header...
  for header in "$@"; do
    for prefix in '' "${CONDA_PREFIX:-}" "$brew_prefix" $(printf %s "${CMAKE_PREFIX_PATH:-}" | tr ':;' '  '); do
      if printf '#if !__has_include(<%s>)\n#error missing\n#endif\n' "$header" |
        $compiler ${prefix:+"-I$prefix/include"} -x c++ -E - >/dev/null 2>&1; then
        return 0
      fi
    done
  done
  return 1
}

find_compiler() {
  if [ -n "${CXX:-}" ]; then
    compiler=$CXX # may be two words: ccache g++
    command -v ${CXX%% *} >/dev/null 2>&1 || die "CXX=$CXX is not there: give another compiler, or leave CXX out."
    return 0
  fi
  for compiler in c++ g++ clang++; do
    if command -v "$compiler" >/dev/null 2>&1; then
      return 0
    fi
  done
  return 1
}

missing_headers() {
  if ! find_compiler; then
    # Without a compiler the headers cannot be looked for; asking for what is there already does no harm.
    need "a C++20 compiler, the headers of xtensor, oneTBB and Highway" g++ libxtensor-dev libtbb-dev libhwy-dev
    return
  fi
  has_header xtensor/xtensor.hpp xtensor/containers/xtensor.hpp || need "xtensor's headers" libxtensor-dev
  has_header oneapi/tbb/parallel_for.h || need "oneTBB's headers" libtbb-dev
  has_header hwy/foreach_target.h || need "Highway's headers" libhwy-dev
}

# Everything that is missing at once, so that who has to ask an administrator asks once.
missing() { # python|headers...
  words='' packages=''
  for part in "$@"; do "missing_$part"; done
}

ensure_system() { # python|headers...
  missing "$@"
  [ -n "$packages" ] || return 0
  # shellcheck disable=SC2086  # a list of package names
  install_system "$words" $packages
  missing "$@"
  [ -z "$packages" ] ||
    die "still missing after installing: $words. The system's packages are too old; see Install in README.md."
}

# --------------------------------------------------------------------------------------------- virtual environment

# The environment does not survive being moved: the path of the source is part of what it was made for.
ensure_venv() {
  if [ -n "${PYTHON:-}" ]; then
    wanted=$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || wanted=unknown
    actual=$("$venv/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || actual=none
  else
    wanted='' actual=''
  fi
  if [ "$wanted" = "$actual" ] && [ -f "$venv/attendo-made-for" ] &&
    [ "$(cat "$venv/attendo-made-for")" = "$root" ] && "$venv/bin/python" -c 'import pip' 2>/dev/null; then
    return
  fi
  if [ -e "$venv" ] && [ ! -f "$venv/attendo-made-for" ]; then
    die "$root/$venv was not made by attendo: move it away and run make again."
  fi
  # shellcheck disable=SC2086  # a list
  ensure_system $parts
  if [ -e "$venv" ]; then
    say "making $venv anew: it is unfinished, moved, or of another Python."
  fi
  rm -rf "$venv" build/attendo-built
  mkdir "$venv"
  echo "unfinished" >"$venv/attendo-made-for"
  step "making the virtual environment $venv with $python (Python ${found%% *})" venv "$python" -m venv "$venv" || exit 1
  printf '%s\n' "$root" >"$venv/attendo-made-for"
}

ensure_packages() {
  key=$(cksum pyproject.toml tools/requirements.py)
  [ "$key" != "$(cat "$venv/attendo-packages" 2>/dev/null)" ] || return 0
  "$venv/bin/python" tools/requirements.py pyproject.toml dev >"$venv/requirements.txt" ||
    die "failed: reading pyproject.toml"
  step "installing the Python packages into $venv" packages \
    "$venv/bin/python" -m pip install -r "$venv/requirements.txt" || exit 1
  printf '%s\n' "$key" >"$venv/attendo-packages"
}

# --------------------------------------------------------------------------------------------------------- the build

# All that decides what the build gives. The Python files are not in it: they are used where they lie.
build_key() {
  printf '%s\n' "$root" "${CXX:-}" "${CXXFLAGS:-}" "${LDFLAGS:-}" "${CMAKE_ARGS:-}" \
    "${SKBUILD_CMAKE_ARGS:-}" "${SKBUILD_CMAKE_DEFINE:-}" "${SKBUILD_CMAKE_BUILD_TYPE:-}"
  cksum "$venv/attendo-packages"
  find CMakeLists.txt cmake cpp -type f -exec cksum {} + 2>/dev/null | sort
}

ensure_build() {
  key=$(build_key)
  [ "$key" != "$(cat build/attendo-built 2>/dev/null)" ] || return 0
  ensure_system headers
  if ! printf '#include <concepts>\n#include <span>\nstatic_assert(__cplusplus > 201703L);\n' |
    $compiler -std=c++20 -x c++ -fsyntax-only - >/dev/null 2>&1; then
    die "$compiler does not compile C++20: install GCC 11 or Clang 14 or later and name it, as in CXX=g++-12 make build."
  fi
  for prefix in "${CONDA_PREFIX:-}" "$brew_prefix"; do
    [ -z "$prefix" ] || export CMAKE_PREFIX_PATH="${CMAKE_PREFIX_PATH:+$CMAKE_PREFIX_PATH:}$prefix"
  done
  rm -f build/attendo-built
  ls build/editable-* >/dev/null 2>&1 || say "the first build takes a few minutes"
  step "compiling attendo" build \
    "$venv/bin/python" -m pip install -v --no-build-isolation --no-deps -e . || exit 1
  printf '%s\n' "$key" >build/attendo-built
  "$venv/bin/python" -c 'import attendo' 2>"$log/import.log" ||
    die "failed: importing what was built. All of it is in $log/import.log: $(tail -n 1 "$log/import.log")"
}

# ----------------------------------------------------------------------------------------------------- the benchmark

# PyTorch for the CPU: the constraints turn down a build that would bring gigabytes of CUDA.
install_peers() {
  for package in cuda-bindings cuda-toolkit nvidia-cublas nvidia-cublas-cu12 nvidia-cudnn-cu12 nvidia-cudnn-cu13 \
    nvidia-nccl-cu12 nvidia-nccl-cu13 triton; do
    echo "$package<0"
  done >"$bench_venv/no-cuda.txt"
  "$bench_venv/bin/python" -m pip install --only-binary :all: -c "$bench_venv/no-cuda.txt" $peers ||
    "$bench_venv/bin/python" -m pip install --only-binary :all: $peers \
      --index-url https://download.pytorch.org/whl/cpu --extra-index-url https://pypi.org/simple
}

ensure_bench() {
  bench_venv=build/bench-venv
  peers="torch==2.13.0 transformers==5.23.0 matplotlib>=3.8"
  key=$(printf '%s\n' "$root" "$peers" && cksum "$venv/attendo-packages" "$venv/attendo-made-for")
  [ "$key" != "$(cat "$bench_venv/attendo-peers" 2>/dev/null)" ] || return 0
  rm -rf "$bench_venv"
  step "making the environment $bench_venv" bench-venv "$venv/bin/python" -m venv "$bench_venv" || exit 1
  # It sees what .venv holds: attendo, as built here, and NumPy.
  "$bench_venv/bin/python" - "$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" <<'END' || exit 1
import pathlib, sys, sysconfig
line = f"import site; site.addsitedir({sys.argv[1]!r})\n"
pathlib.Path(sysconfig.get_path("purelib"), "attendo-venv.pth").write_text(line, encoding="utf-8")
END
  step "installing PyTorch into $bench_venv" bench-packages install_peers || exit 1
  printf '%s\n' "$key" >"$bench_venv/attendo-peers"
}

parts=python
[ "$goal" = tools ] || parts="python headers"
brew_prefix=$(brew --prefix 2>/dev/null) || brew_prefix=
[ -f CMakeLists.txt ] || die "there is no CMakeLists.txt in $root: is the source complete?"
ensure_venv
ensure_packages
[ "$goal" = tools ] || ensure_build
[ "$goal" != bench ] || ensure_bench
