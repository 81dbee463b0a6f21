"""tools/setup.sh, which every make target starts with, on machines that lack this or that.

The machine is made of small scripts: a PATH with nothing on it but the plain tools of POSIX and stand-ins
for the compiler, apt-get, id and the environment's Python, which note how they were called.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")

POSIX = "cat chmod cksum cut dirname env find grep head ls mkdir rm sh sleep sort tail tr".split()

# Finds the headers whose names are files in headers/, and compiles C++20.
COMPILER = """
text=$(cat)
case $text in
  *__has_include*)
    name=${text#*<}
    name=${name%%>*}
    [ -e "$MACHINE/headers/$(echo "$name" | tr / _)" ]
    ;;
esac
"""
APT = """
echo "apt-get $*" >>"$MACHINE/calls"
case "$*" in
  *install*) for header in $HEADERS; do : >"$MACHINE/headers/$header"; done ;;
esac
"""
# Python of .venv: pip does what $MACHINE/pip says, the rest works.
PYTHON = """
case "$*" in
  *"-m venv build/bench-venv"*) mkdir -p build/bench-venv/bin && cat "$0" >build/bench-venv/bin/python &&
    chmod +x build/bench-venv/bin/python ;;
  *"-m pip"*)
    echo "pip $*" >>"$MACHINE/calls"
    [ ! -e "$MACHINE/pip" ] || . "$MACHINE/pip"
    ;;
  *tools/requirements.py*) echo "numpy" ;;
esac
exit 0
"""
# A system's Python: says what it is, and makes an environment with the one above in it.
MAKES_VENV = f"""
case "$*" in
  *"-m venv"*) mkdir -p .venv/bin && printf '%s' '{PYTHON}' >.venv/bin/python && chmod +x .venv/bin/python ;;
  *complete*) echo 3.11 complete ;;
  *) echo 3.11 ;;
esac
"""
HEADERS = ("xtensor_xtensor.hpp", "oneapi_tbb_parallel_for.h", "hwy_foreach_target.h")


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}", encoding="utf-8")
    path.chmod(0o755)


@dataclass
class Machine:
    """A source tree in a folder whose name holds a space, and a PATH of its own."""

    folder: Path

    @property
    def source(self) -> Path:
        return self.folder / "source tree"

    def run(self, goal: str = "build", **environment: str) -> subprocess.CompletedProcess[str]:
        plain = {"PATH": str(self.folder / "bin"), "MACHINE": str(self.folder), "HEADERS": " ".join(HEADERS)}
        return subprocess.run(
            ["/bin/sh", "tools/setup.sh", goal],
            cwd=self.source,
            env={**plain, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def calls(self) -> list[str]:
        log = self.folder / "calls"
        return log.read_text(encoding="utf-8").splitlines() if log.exists() else []

    def add(self, program: str, text: str) -> None:
        script(self.folder / "bin" / program, text)

    def pip(self, text: str) -> None:
        (self.folder / "pip").write_text(text, encoding="utf-8")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Everything is there: compiler, headers, root and apt, and an environment made for this folder."""
    made = Machine(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "headers").mkdir()
    for name in POSIX:
        found = shutil.which(name)
        assert found, name
        (tmp_path / "bin" / name).symlink_to(found)
    for header in HEADERS:
        (tmp_path / "headers" / header).touch()
    made.add("c++", COMPILER)
    made.add("apt-get", APT)
    made.add("id", "echo 0")
    shutil.copytree(ROOT / "tools", made.source / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", made.source)
    (made.source / "CMakeLists.txt").write_text("project(attendo)\n", encoding="utf-8")
    (made.source / "cpp").mkdir()
    (made.source / "cpp/exp.cpp").write_text("double f();\n", encoding="utf-8")
    (made.source / "python").mkdir()
    script(made.source / ".venv/bin/python", PYTHON)
    (made.source / ".venv/attendo-made-for").write_text(f"{made.source.resolve()}\n", encoding="utf-8")
    return made


def test_second_run_does_nothing(machine: Machine) -> None:
    first = machine.run()
    assert first.returncode == 0, first.stderr
    assert [call.split(" install ")[0] for call in machine.calls()] == ["pip -m pip"] * 2
    assert machine.calls()[1].endswith("--no-build-isolation --no-deps -e .")
    second = machine.run()
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert len(machine.calls()) == 2


def test_only_what_is_compiled_is_built_again(machine: Machine) -> None:
    machine.run()
    (machine.source / "python/attendo.py").write_text("x = 1\n", encoding="utf-8")
    machine.run()
    assert len(machine.calls()) == 2
    for number, path in enumerate(("cpp/exp.cpp", "cpp/log.cpp", "CMakeLists.txt"), start=3):
        (machine.source / path).write_text(f"// {number}\n", encoding="utf-8")
        assert machine.run().returncode == 0
        assert len(machine.calls()) == number, path
    (machine.source / "cpp/log.cpp").unlink()
    machine.run()
    assert len(machine.calls()) == 6
    with (machine.source / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    machine.run()
    assert len(machine.calls()) == 8  # the packages, then the build


def test_tools_do_not_build(machine: Machine) -> None:
    (machine.folder / "bin/c++").unlink()
    assert machine.run("tools").returncode == 0
    assert len(machine.calls()) == 1


def test_benchmark_has_an_environment_of_its_own(machine: Machine) -> None:
    machine.run()
    before = len(machine.calls())
    first = machine.run("bench")
    assert first.returncode == 0, first.stderr
    (install,) = machine.calls()[before:]
    assert "torch==2.13.0" in install
    assert "--index-url" not in install
    second = machine.run("bench")
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert len(machine.calls()) == before + 1


def test_benchmark_without_pytorch_on_the_first_index(machine: Machine) -> None:
    machine.run()
    machine.pip('case "$*" in *--index-url*) ;; *) exit 1 ;; esac\n')
    assert machine.run("bench").returncode == 0
    assert "--index-url https://download.pytorch.org/whl/cpu" in machine.calls()[-1]
    machine.pip("exit 1\n")
    shutil.rmtree(machine.source / "build/bench-venv")
    result = machine.run("bench")
    assert result.returncode == 1
    assert "failed: installing PyTorch into build/bench-venv" in result.stderr
    machine.pip("")
    assert machine.run("bench").returncode == 0  # not taken for installed


def test_root_installs_what_is_missing_with_apt(machine: Machine) -> None:
    (machine.folder / "headers/hwy_foreach_target.h").unlink()
    result = machine.run()
    assert result.returncode == 0, result.stderr
    assert machine.calls()[1:3] == [
        "apt-get update",
        "apt-get install -y --no-install-recommends libhwy-dev",
    ]


@pytest.mark.parametrize("sudo", [None, "exit 1"], ids=["no-sudo", "sudo-wants-a-password"])
def test_without_root_it_says_what_to_run(machine: Machine, sudo: str | None) -> None:
    machine.add("id", "echo 1000")
    if sudo:
        machine.add("sudo", sudo)
    for header in HEADERS[:2]:
        (machine.folder / "headers" / header).unlink()
    result = machine.run()
    assert result.returncode == 1
    assert "missing: xtensor's headers, oneTBB's headers; installing them takes root" in result.stderr
    assert "sudo apt-get update && sudo apt-get install -y libxtensor-dev libtbb-dev\n" in result.stderr
    assert "conda-forge 'python>=3.10' cxx-compiler xtensor tbb-devel libhwy\n" in result.stderr
    assert "brew install python xtensor tbb highway\n" in result.stderr
    assert not any("apt-get" in call for call in machine.calls())


def test_sudo_is_used_when_it_works(machine: Machine) -> None:
    machine.add("id", "echo 1000")
    machine.add("sudo", '[ "$1" = -n ] || [ "$1" = -v ] || { echo "sudo $*" >>"$MACHINE/calls"; "$@"; }')
    (machine.folder / "headers" / HEADERS[0]).unlink()
    result = machine.run()
    assert result.returncode == 0, result.stderr
    assert "apt-get install -y --no-install-recommends libxtensor-dev" in machine.calls()


def test_without_apt_it_says_what_to_run(machine: Machine) -> None:
    (machine.folder / "bin/apt-get").unlink()
    (machine.folder / "bin/c++").unlink()
    result = machine.run()
    assert result.returncode == 1
    assert "a C++20 compiler" in result.stderr
    assert "install -y g++ libxtensor-dev libtbb-dev libhwy-dev\n" in result.stderr


def test_apt_that_fails(machine: Machine) -> None:
    machine.add("apt-get", 'echo "E: Unable to locate package libhwy-dev"; exit 100')
    (machine.folder / "headers" / HEADERS[2]).unlink()
    result = machine.run()
    assert result.returncode == 1
    assert "build/log/apt-install.log" in result.stderr
    assert "E: Unable to locate package libhwy-dev" in result.stderr
    assert "brew install" in result.stderr


def test_packages_too_old(machine: Machine) -> None:
    machine.add("apt-get", "exit 0")
    (machine.folder / "headers" / HEADERS[2]).unlink()
    result = machine.run()
    assert result.returncode == 1
    assert "still missing after installing: Highway's headers" in result.stderr


def test_compiler_too_old(machine: Machine) -> None:
    machine.add("c++", f'case "$*" in *-fsyntax-only*) exit 1 ;; esac\n{COMPILER}')
    result = machine.run()
    assert result.returncode == 1
    assert "c++ does not compile C++20" in result.stderr


def test_compiler_that_is_not_there(machine: Machine) -> None:
    result = machine.run(CXX="g++-99")
    assert result.returncode == 1
    assert "CXX=g++-99 is not there" in result.stderr


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("  cpp/exp.cpp:3:4: error: lost\n  cpp/exp.cpp:9:9: error: more", "cpp/exp.cpp:3:4: error: lost \n"),
        ("CMake Error at CMakeLists.txt:7:\n  no TBB", "CMake Error at CMakeLists.txt:7: no TBB"),
        ("ld: exp.o: undefined reference to `f()'", "undefined reference to `f()'"),
        ("g++: fatal error: Killed signal terminated program cc1plus", "CMAKE_BUILD_PARALLEL_LEVEL=1"),
        ("write failed: No space left on device", "the disk is full"),
        ("nobody knows", "its last line: nobody knows"),
    ],
    ids=["compiler", "cmake", "linker", "memory", "disk", "other"],
)
def test_build_that_fails(machine: Machine, output: str, said: str) -> None:
    machine.run("tools")
    machine.pip(f"cat <<'END'\n{output}\nEND\nexit 1\n")
    result = machine.run()
    assert result.returncode == 1
    assert "failed: compiling attendo. All of it is in build/log/build.log" in result.stderr
    assert said in result.stderr
    machine.pip("")
    assert machine.run().returncode == 0  # not taken for built


def test_no_network(machine: Machine) -> None:
    machine.pip("echo 'WARNING: Retrying after NewConnectionError: Name or service not known'; exit 1")
    result = machine.run()
    assert result.returncode == 1
    assert "failed: installing the Python packages" in result.stderr
    assert "no network: connect" in result.stderr


def test_environment_of_somebody_else_is_left_alone(machine: Machine) -> None:
    (machine.source / ".venv/attendo-made-for").unlink()
    result = machine.run(PYTHON=sys.executable)
    assert result.returncode == 1
    assert ".venv was not made by attendo" in result.stderr
    assert (machine.source / ".venv/bin/python").exists()


def test_python_that_will_not_do(machine: Machine) -> None:
    machine.add("python2", "exit 1")
    result = machine.run(PYTHON="python2")
    assert result.returncode == 1
    assert "PYTHON=python2 is not a CPython of version 3.10 or later" in result.stderr
    assert (machine.source / ".venv/bin/python").exists()


@pytest.mark.parametrize(
    ("answer", "packages"),
    [
        ("exit 1", "python3 python3-venv python3-dev"),
        ("echo 3.11 incomplete", "python3.11-venv python3.11-dev"),
    ],
    ids=["no-python", "no-venv"],
)
def test_python_from_apt(machine: Machine, answer: str, packages: str) -> None:
    shutil.rmtree(machine.source / ".venv")
    machine.add("id", "echo 1000")
    machine.add("python3", answer)
    result = machine.run()
    assert result.returncode == 1
    assert f"sudo apt-get install -y {packages}\n" in result.stderr
    assert not (machine.source / ".venv").exists()


def test_a_complete_python_comes_before_an_incomplete_one(machine: Machine) -> None:
    shutil.rmtree(machine.source / ".venv")
    machine.add("python3", "echo 3.13 incomplete")
    machine.add("python3.11", MAKES_VENV)
    result = machine.run()
    assert result.returncode == 0, result.stderr
    assert "with python3.11 (Python 3.11)" in result.stderr


def test_another_python_builds_again(machine: Machine) -> None:
    machine.add("python3.12", MAKES_VENV.replace("3.11", "3.12"))
    assert machine.run().returncode == 0
    result = machine.run(PYTHON="python3.12")
    assert result.returncode == 0, result.stderr
    assert "with python3.12 (Python 3.12)" in result.stderr
    assert len(machine.calls()) == 4


def test_moved_source_builds_again(machine: Machine) -> None:
    machine.add("python3.11", MAKES_VENV)
    machine.run()
    machine.source.rename(machine.folder / "elsewhere")
    machine.source.symlink_to(machine.folder / "elsewhere")
    result = machine.run()
    assert result.returncode == 0, result.stderr
    assert "making .venv anew" in result.stderr
    assert len(machine.calls()) == 4


def test_everything_missing_is_named_at_once(machine: Machine) -> None:
    shutil.rmtree(machine.source / ".venv")
    machine.add("id", "echo 1000")
    (machine.folder / "headers" / HEADERS[0]).unlink()
    result = machine.run()
    assert result.returncode == 1
    assert "missing: Python 3.10 or later, xtensor's headers;" in result.stderr
    assert "install -y python3 python3-venv python3-dev libxtensor-dev\n" in result.stderr


def test_read_only_source(machine: Machine) -> None:
    if os.geteuid() == 0:
        (machine.source / "build").write_text("in the way\n", encoding="utf-8")
    else:
        machine.source.chmod(0o555)
    result = machine.run()
    machine.source.chmod(0o755)
    assert result.returncode == 1
    assert "cannot write to" in result.stderr


def test_requirements_follow_the_extras() -> None:
    command = [sys.executable, ROOT / "tools/requirements.py", ROOT / "pyproject.toml", "dev"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    names = {re.split("[<>=;]", line)[0] for line in lines}
    assert {"scikit-build-core", "pybind11", "cmake", "ninja", "numpy", "pytest", "babel", "mypy"} <= names
    assert not any(name.startswith("attendo") for name in names)
    assert len(lines) == len(set(lines))


@pytest.mark.parametrize("name", ["tools/setup.sh", ".ci/run"])
def test_scripts_parse(name: str) -> None:
    shell = shutil.which("bash") or "sh"
    subprocess.run([shell, "-n", ROOT / name], check=True)
