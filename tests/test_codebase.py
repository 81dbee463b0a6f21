"""The code base tests itself: who may include whom, one name in five places, what kernels leave in their
object files, what `import attendo` brings along, and what the wheel holds.

Every rule is a function from a source tree to the list of what breaks it, so that each is tested twice: on
this source tree, where the list must be empty, and on small trees made to break it (`..._notices`).
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]

Rule = Callable[[Path], list[str]]

# ------------------------------------------------------------------------------------------ who includes whom

# bindings → models, train → nn → attention → ops → kernels, core: what a folder may include besides itself.
BELOW: dict[str, set[str]] = {
    "kernels": set(),
    "core": set(),
    "ops": {"kernels", "core"},
    "attention": {"ops", "kernels", "core"},
    "nn": {"attention", "ops", "kernels", "core"},
    "train": {"nn", "attention", "ops", "kernels", "core"},
    "models": {"nn", "attention", "ops", "kernels", "core"},
    "bindings": {"models", "train", "nn", "attention", "ops", "kernels", "core"},
}

# xtensor is the compile-time hog: a file that includes it is one of these.
XTENSOR_FILES = frozenset({"ops/xtensor.h"})

# What a kernel may include besides other kernels: the SIMD library and C. A template of the C++ library that
# the compiler does not inline would be a weak symbol, compiled for one instruction set and linked for all.
C_HEADERS = r"c(assert|fenv|float|inttypes|limits|math|stddef|stdint|stdlib|string)|[a-z]+\.h"
KERNEL_HEADER = re.compile(rf"hwy/.+|{C_HEADERS}")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)


def cpp_files(root: Path) -> list[Path]:
    return sorted(p for p in (root / "cpp").rglob("*") if p.suffix in {".h", ".hpp", ".cpp"})


def includes(file: Path) -> tuple[list[str], list[str]]:
    """The "quoted" and the <bracketed> includes of a file."""
    found = INCLUDE.findall(file.read_text(encoding="utf-8"))
    return [quoted for quoted, _ in found if quoted], [angled for _, angled in found if angled]


def broken_layering(root: Path) -> list[str]:
    """Quoted includes are of files in cpp/, written from there, and never point up or sideways."""
    broken = []
    cpp = root / "cpp"
    for file in cpp_files(root):
        name = file.relative_to(cpp).as_posix()
        folder = name.split("/")[0]
        if folder not in BELOW:
            broken.append(f"{name}: {folder} is not a folder of the architecture")
            continue
        for header in includes(file)[0]:
            other = header.split("/")[0]
            if not (cpp / header).is_file():
                broken.append(f"{name}: {header} is not a file in cpp/")
            elif other != folder and other not in BELOW[folder]:
                broken.append(f"{name}: {folder} may not include {other} ({header})")
    return broken


def foreign_includes(root: Path) -> list[str]:
    """oneTBB only in core/parallel, Python in bindings, xtensor where listed, next to nothing in kernels."""
    broken = []
    for file in cpp_files(root):
        name = file.relative_to(root / "cpp").as_posix()
        folder = name.split("/")[0]
        for header in includes(file)[1]:
            library = header.removeprefix("oneapi/").split("/")[0]
            if library.startswith("tbb") and Path(name).with_suffix("").as_posix() != "core/parallel":
                broken.append(f"{name}: only core/parallel includes oneTBB ({header})")
            if (library == "pybind11" or header == "Python.h") and folder != "bindings":
                broken.append(f"{name}: only bindings include Python ({header})")
            if library.startswith(("xtensor", "xtl")) and name not in XTENSOR_FILES:
                broken.append(f"{name}: not listed in XTENSOR_FILES ({header})")
            if library == "hwy" and folder != "kernels":
                broken.append(f"{name}: only kernels know the instruction set ({header})")
            if folder == "kernels" and not KERNEL_HEADER.fullmatch(header):
                broken.append(f"{name}: a kernel includes kernels, Highway and C headers only ({header})")
    return broken


def kernels_for_every_target(root: Path) -> list[str]:
    """A kernel that uses Highway is compiled once for every instruction set, by foreach_target."""
    broken = []
    for file in sorted((root / "cpp/kernels").glob("*.cpp")):
        name = file.relative_to(root / "cpp").as_posix()
        quoted, angled = includes(file)
        if not any(header.startswith("hwy/") for header in angled) and not any("-inl.h" in h for h in quoted):
            continue
        if "hwy/foreach_target.h" not in angled:
            broken.append(f"{name}: does not include hwy/foreach_target.h")
        if f'\n#define HWY_TARGET_INCLUDE "{name}"\n' not in file.read_text(encoding="utf-8"):
            broken.append(f'{name}: HWY_TARGET_INCLUDE is not "{name}"')
    return broken


def fast_math(root: Path) -> list[str]:
    """No flag, pragma or attribute gives up IEEE arithmetic: it breaks inf and NaN, for the whole process."""
    banned = re.compile(
        r"-Ofast|-f(fast-math|unsafe-math-optimizations|finite-math-only|associative-math)|fp:fast"
        r"|float_control|fp\s+reassociate|optimize\s*\(\s*\"[^\"]*fast"
    )
    broken = []
    cmake = [root / "CMakeLists.txt", *(root / "cpp").rglob("CMakeLists.txt"), *root.glob("cmake/*")]
    for file in [*cmake, *cpp_files(root)]:
        comment = r"//.*" if file.suffix in {".h", ".hpp", ".cpp"} else r"#.*"
        code = re.sub(comment, "", file.read_text(encoding="utf-8"))
        broken += [f"{file.relative_to(root)}: {match[0]}" for match in banned.finditer(code)]
    return broken


# -------------------------------------------------------------------------------------- one name, five places


def one_name_five_places(root: Path) -> list[str]:
    """As the operation is called, so are its C++ file, its reference, its test and its line in the index."""
    cpp, reference = root / "cpp", root / "python/attendo/reference"
    files = [
        p
        for p in sorted(cpp.glob("*/*.cpp"))
        if p.parent.name in {"ops", "attention", "nn", "models", "train"}
    ]
    compiled = {p.stem: p.relative_to(root).as_posix() for p in files}
    of_operations = {p.stem for folder in ("ops", "attention") for p in (cpp / folder).glob("*.cpp")}
    of_reference = {p.stem for p in reference.glob("*.py") if not p.stem.startswith("_")}
    tests = {p.stem.removeprefix("test_") for p in (root / "tests").rglob("test_*.py")}
    index = root / "docs/formula_index.md"
    indexed = index.read_text(encoding="utf-8") if index.is_file() else ""

    broken = [f"reference/{name}.py has no C++ file" for name in sorted(of_reference - set(compiled))]
    for name in sorted(of_operations | (of_reference & set(compiled))):
        where = compiled[name]
        if name not in of_reference:
            broken.append(f"{where} has no python/attendo/reference/{name}.py")
        if name not in tests:
            broken.append(f"{where} has no tests/**/test_{name}.py")
        if where not in indexed:
            broken.append(f"{where} has no line in docs/formula_index.md")
    for path in sorted(set(re.findall(r"\b(?:cpp|python|tests)/[\w/]+\.(?:cpp|h|py)\b", indexed))):
        if not (root / path).is_file():
            broken.append(f"docs/formula_index.md names {path}, which is not there")
    return broken


# ---------------------------------------------------------------------------------- what kernels leave behind

WEAK = re.compile(r"^[0-9a-fA-F]+ ([WVu]) (.+)$", re.MULTILINE)
STRONG = re.compile(r"^[0-9a-fA-F]+ [TtDdRrBb] ", re.MULTILINE)


def weak_symbols(object_file: Path) -> list[str]:
    """Weak symbols: the linker keeps one of several, and may keep the AVX-512 one for everybody."""
    command = ["nm", "-C", "--defined-only", object_file]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if not STRONG.search(listing):
        return [f"{object_file.name}: no symbols at all: nothing can be said of it"]
    return [f"{object_file.name}: {kind} {name}" for kind, name in WEAK.findall(listing)]


def kernel_objects(build: Path) -> dict[str, Path]:
    """The object files of cpp/kernels/*.cpp, from the build directory `make build` used last."""
    caches = sorted(build.glob("editable-*/CMakeCache.txt"), key=lambda path: path.stat().st_mtime)
    if not caches:
        return {}
    objects = caches[-1].parent.rglob("*.cpp.o")
    return {p.name.removesuffix(".o"): p for p in objects if "kernels" in str(p.relative_to(build))}


def test_kernels_leave_no_weak_symbols() -> None:
    wanted = {p.name for p in (ROOT / "cpp/kernels").glob("*.cpp")}
    objects = kernel_objects(ROOT / "build")
    missing = wanted - set(objects)
    if (missing and not objects) or shutil.which("nm") is None:
        reason = "no object files in build/: attendo was not built by `make build` here"
        # Where CI runs, make has just built them.
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    assert not missing, f"not compiled: {sorted(missing)}"
    assert wanted
    assert [line for name in sorted(wanted) for line in weak_symbols(objects[name])] == []


@pytest.mark.skipif(shutil.which("g++") is None or shutil.which("nm") is None, reason="needs g++ and nm")
def test_weak_symbols_notices(tmp_path: Path) -> None:
    def compiled(code: str) -> list[str]:
        source, target = tmp_path / "kernel.cpp", tmp_path / "kernel.cpp.o"
        source.write_text(code)
        subprocess.run(["g++", "-std=c++20", "-O0", "-c", source, "-o", target], check=True)
        return weak_symbols(target)

    assert (
        compiled("static int half(int x) { return x / 2; } int quarter(int x) { return half(half(x)); }")
        == []
    )
    assert compiled(
        "inline int half(int x) { return x / 2; } int quarter(int x) { return half(half(x)); }"
    ) == ["kernel.cpp.o: W half(int)"]
    unique = compiled("inline int f() { static int calls = 0; return ++calls; } int g() { return f(); }")
    assert "kernel.cpp.o: u f()::calls" in unique
    assert "no symbols" in compiled("")[0]


# ------------------------------------------------------------------------------------------------- the Python


def python_files(root: Path) -> list[Path]:
    return sorted((root / "python").rglob("*.py"))


def imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The imports of a module: how many dots, and the dotted name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or ""


def reference_imports(root: Path) -> list[str]:
    """reference/ is NumPy and nothing else of the package: it must be able to prove the package wrong."""
    allowed = {"__future__", "builtins", "collections", "math", "numpy", "typing"}
    broken = []
    for file in sorted((root / "python/attendo/reference").glob("*.py")):
        for level, name in imported(ast.parse(file.read_text(encoding="utf-8"))):
            own = level == 1 or name.startswith("attendo.reference")
            if not own and (level > 1 or name.split(".")[0] not in allowed):
                broken.append(f"reference/{file.name}: imports {'.' * level}{name}")
    return broken


def unsafe_calls(root: Path) -> list[str]:
    """Nothing is unpickled, and no text becomes code."""
    modules = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
    broken = []
    for file in python_files(root):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        where = file.relative_to(root).as_posix()
        broken += [f"{where}: imports {name}" for _, name in imported(tree) if name.split(".")[0] in modules]
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            if isinstance(node.func, ast.Name) and node.func.id in {"eval", "exec", "compile", "__import__"}:
                broken.append(f"{where}:{node.lineno}: calls {node.func.id}")
            for keyword in node.keywords:
                constant = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                if keyword.arg == "allow_pickle" and not constant:
                    broken.append(f"{where}:{node.lineno}: allow_pickle")
                if keyword.arg == "shell" and isinstance(node.func, ast.Attribute) and not constant:
                    broken.append(f"{where}:{node.lineno}: a shell")
    return broken


def machine_paths(root: Path) -> list[str]:
    """No file holds a path of somebody's machine."""
    path = re.compile(r"(?<![\w.$}>/-])/(?:home|root|Users|work|mnt|tmp)/\w[\w./-]*")
    skipped = {".git", ".venv", "build", "dist", "__pycache__", ".hypothesis"}
    broken = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in skipped and not name.endswith("_cache"))
        for name in sorted(names):
            file = Path(folder, name)
            try:
                text = file.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue  # a picture
            broken += [f"{file.relative_to(root).as_posix()}: {match[0]}" for match in path.finditer(text)]
    return broken


LIGHT_IMPORT = """
import json, sys
before = set(sys.modules)
import attendo
brought = {name.split(".")[0] for name in set(sys.modules) - before}
print(json.dumps(sorted(brought - sys.stdlib_module_names)))
"""


def test_import_needs_numpy_safetensors_and_tqdm_only() -> None:
    output = subprocess.run(
        [sys.executable, "-c", LIGHT_IMPORT], capture_output=True, text=True, check=True
    ).stdout
    brought = set(json.loads(output))
    assert "attendo" in brought
    # Names with an underscore are loaders of the installation, not packages.
    assert {name for name in brought if not name.startswith("_")} <= {
        "attendo",
        "numpy",
        "safetensors",
        "tqdm",
    }


# ------------------------------------------------------------------------------ versions, dependencies, wheel


def pyproject(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


def other_versions(root: Path) -> list[str]:
    """The version in CITATION.cff and at the top of CHANGELOG.md is that of pyproject.toml."""
    version = pyproject(root)["project"]["version"]
    broken = []
    for name, pattern in (
        ("CITATION.cff", r"^version: *\"?([^\"\s]+)"),
        ("CHANGELOG.md", r"^## \[?(\d[^\]\s]*)"),
    ):
        match = re.search(pattern, (root / name).read_text(encoding="utf-8"), re.MULTILINE)
        if match is None or match[1] != version:
            broken.append(f"{name}: {match[1] if match else 'no version'}, not {version}")
    return broken


def test_version_of_the_package() -> None:
    import importlib.metadata

    import attendo

    assert (
        attendo.__version__ == pyproject(ROOT)["project"]["version"] == importlib.metadata.version("attendo")
    )


def test_tour_of_the_readme_runs(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    blocks = [block for block in blocks if "path/to/" not in block]  # tests/interop/test_readme.py has those
    assert blocks
    command = [sys.executable, "-W", "error", "-c", "".join(blocks)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def heavy_dependencies(root: Path) -> list[str]:
    """NumPy, safetensors and tqdm; no extra brings PyTorch, with which tests compare where it is there."""
    project = pyproject(root)["project"]

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[\[<>=!~; ]", requirement)[0].lower() for requirement in requirements}

    light = {"numpy", "safetensors", "tqdm"}
    broken = [f"dependency {name}" for name in sorted(names(project["dependencies"]) - light)]
    for extra, requirements in project["optional-dependencies"].items():
        broken += [
            f"[{extra}] {name}" for name in sorted(names(requirements) & {"torch", "jax", "tensorflow"})
        ]
    return broken


def test_wheel_holds_the_package_and_only_it(tmp_path: Path) -> None:
    pytest.importorskip("scikit_build_core", reason="builds a wheel (without the compiled part)")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run(
        [*command, "--config-settings=wheel.cmake=false", "-w", tmp_path, ROOT],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("attendo-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if not name.endswith("/")}
        (metadata,) = (archive.read(n).decode() for n in held if n.endswith(".dist-info/METADATA"))
    package = {name for name in held if ".dist-info/" not in name}
    sources = {p.relative_to(ROOT / "python").as_posix() for p in python_files(ROOT)}
    assert {"attendo/py.typed", "attendo/_core.pyi", *sources} <= package
    assert all(name.startswith("attendo/") for name in package)
    assert not any(name.endswith((".cpp", ".h", ".o", ".pyc")) or "test_" in name for name in package)
    assert any(name.endswith("LICENSE") for name in held)
    assert "License-Expression: Apache-2.0" in metadata


# -------------------------------------------------------------------------- every rule, here and on bad trees

RULES: list[Rule] = [
    broken_layering,
    foreign_includes,
    kernels_for_every_target,
    fast_math,
    one_name_five_places,
    reference_imports,
    unsafe_calls,
    machine_paths,
    other_versions,
    heavy_dependencies,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule(rule: Rule) -> None:
    assert rule(ROOT) == []


def test_every_listed_file_includes_xtensor() -> None:
    for name in XTENSOR_FILES:
        assert any(header.startswith(("xtensor", "xtl")) for header in includes(ROOT / "cpp" / name)[1]), name


def tree(root: Path, **files: str) -> Path:
    """A small source tree that breaks no rule, with `files` (path: text) written over it."""
    good = {
        "CMakeLists.txt": "add_compile_options(-O2)  # never -ffast-math\n",
        "pyproject.toml": '[project]\nname = "attendo"\nversion = "1.2.3"\ndependencies = ["numpy>=1.24"]\n'
        '[project.optional-dependencies]\ntext = ["babel"]\n',
        "CITATION.cff": 'version: "1.2.3"\n',
        "CHANGELOG.md": "# Changes\n\n## 1.2.3\n",
        "cpp/core/tensor.h": "#include <vector>\n",
        "cpp/core/parallel.cpp": "#include <tbb/parallel_for.h>\n",
        "cpp/kernels/exp.h": "#include <cstddef>\n",
        "cpp/kernels/exp.cpp": '#include "kernels/exp.h"\n#define HWY_TARGET_INCLUDE "kernels/exp.cpp"\n'
        "#include <hwy/foreach_target.h>\n#include <hwy/highway.h>\n",
        "cpp/ops/softmax.h": '#include "core/tensor.h"\n',
        "cpp/ops/softmax.cpp": '#include "ops/softmax.h"\n#include "kernels/exp.h"\n',
        "cpp/nn/layer.h": '#include "ops/softmax.h"\n',
        "cpp/models/net.h": '#include "nn/layer.h"\n',
        "cpp/train/trainer.h": '#include "nn/layer.h"\n',
        "cpp/bindings/module.cpp": '#include <pybind11/pybind11.h>\n#include "models/net.h"\n',
        "python/attendo/__init__.py": "from . import reference\n",
        "python/attendo/reference/__init__.py": "",
        "python/attendo/reference/softmax.py": "import numpy as np\n",
        "tests/ops/test_softmax.py": "",
        "docs/formula_index.md": "| eq. 1 | `cpp/ops/softmax.cpp` |\n",
    }
    for path, text in {**good, **files}.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_accepts_a_good_tree(rule: Rule, tmp_path: Path) -> None:
    assert rule(tree(tmp_path)) == []


REFERENCE = "python/attendo/reference/softmax.py"
TARGET_OF_ANOTHER = '\n#define HWY_TARGET_INCLUDE "kernels/log.cpp"\n#include <hwy/foreach_target.h>'
HEAVY = '[project]\ndependencies = ["scipy>=1"]\n[project.optional-dependencies]\nall = ["torch==2"]\n'

# What a rule must say of a good tree in which one file holds the text.
BREACHES: dict[Rule, list[tuple[str, str, str]]] = {
    broken_layering: [
        ("cpp/core/tensor.h", '#include "kernels/exp.h"', "core may not include kernels"),
        ("cpp/kernels/exp.h", '#include "core/tensor.h"', "kernels may not include core"),
        ("cpp/ops/softmax.h", '#  include "nn/layer.h"', "ops may not include nn"),
        ("cpp/train/trainer.h", '#include "models/net.h"', "train may not include models"),
        ("cpp/models/net.h", '#include "train/trainer.h"', "models may not include train"),
        ("cpp/nn/layer.h", '#include "models/net.h"', "nn may not include models"),
        ("cpp/ops/softmax.cpp", '#include "softmax.h"', "softmax.h is not a file in cpp/"),
        ("cpp/util/all.h", "", "util is not a folder of the architecture"),
    ],
    foreign_includes: [
        ("cpp/ops/softmax.cpp", "#include <tbb/parallel_for.h>", "only core/parallel includes oneTBB"),
        ("cpp/ops/softmax.h", "#include <oneapi/tbb/task.h>", "only core/parallel includes oneTBB"),
        ("cpp/nn/layer.h", "#include <pybind11/numpy.h>", "only bindings include Python"),
        ("cpp/core/tensor.h", "#include <Python.h>", "only bindings include Python"),
        ("cpp/ops/softmax.h", "#include <xtensor/xarray.hpp>", "not listed in XTENSOR_FILES"),
        ("cpp/ops/softmax.h", "#include <hwy/highway.h>", "only kernels know the instruction set"),
        ("cpp/kernels/exp.h", "#include <vector>", "a kernel includes kernels, Highway and C headers"),
        ("cpp/kernels/exp.cpp", "#include <algorithm>", "a kernel includes kernels, Highway and C headers"),
    ],
    kernels_for_every_target: [
        ("cpp/kernels/exp.cpp", "#include <hwy/highway.h>", "does not include hwy/foreach_target.h"),
        ("cpp/kernels/exp.cpp", TARGET_OF_ANOTHER, 'HWY_TARGET_INCLUDE is not "kernels/exp.cpp"'),
        ("cpp/kernels/log.cpp", '#include "kernels/simd-inl.h"', "log.cpp: does not include"),
    ],
    fast_math: [
        ("CMakeLists.txt", "add_compile_options(-ffast-math)", "CMakeLists.txt: -ffast-math"),
        ("cpp/kernels/CMakeLists.txt", "set(flags -Ofast)", "-Ofast"),
        ("cpp/ops/softmax.cpp", '#pragma GCC optimize("fast-math")', "softmax.cpp"),
    ],
    one_name_five_places: [
        ("cpp/ops/gelu.cpp", "", "cpp/ops/gelu.cpp has no python/attendo/reference/gelu.py"),
        ("cpp/attention/alibi.cpp", "", "cpp/attention/alibi.cpp has no tests/**/test_alibi.py"),
        ("docs/formula_index.md", "softmax", "softmax.cpp has no line in docs/formula_index.md"),
        ("docs/formula_index.md", "`tests/ops/test_log.py`", "test_log.py, which is not there"),
        ("python/attendo/reference/lstm.py", "", "reference/lstm.py has no C++ file"),
    ],
    reference_imports: [
        (REFERENCE, "import scipy.special", "imports scipy.special"),
        (REFERENCE, "from .. import nn", "imports .."),
        (REFERENCE, "from attendo import _core", "imports attendo"),
    ],
    unsafe_calls: [
        ("python/attendo/io.py", "from pickle import loads", "imports pickle"),
        ("python/attendo/io.py", "x = eval('1')", "io.py:1: calls eval"),
        ("python/attendo/io.py", "np.load('x', allow_pickle=True)", "allow_pickle"),
        ("python/attendo/io.py", "subprocess.run('ls', shell=True)", "a shell"),
    ],
    machine_paths: [("docs/notes.md", "see /ho" + "me/someone/data", "docs/notes.md: /ho")],
    other_versions: [
        ("CITATION.cff", 'version: "1.2.2"', "CITATION.cff: 1.2.2, not 1.2.3"),
        ("CHANGELOG.md", "# Changes\n", "CHANGELOG.md: no version"),
    ],
    heavy_dependencies: [
        ("pyproject.toml", HEAVY, "dependency scipy"),
        ("pyproject.toml", HEAVY, "[all] torch"),
    ],
}


def test_every_rule_has_breaches() -> None:
    assert set(BREACHES) == set(RULES)


@pytest.mark.parametrize(
    ("rule", "breach"),
    [(rule, breach) for rule, breaches in BREACHES.items() for breach in breaches],
    ids=lambda value: value.__name__ if callable(value) else value[2],
)
def test_rule_notices(rule: Rule, breach: tuple[str, str, str], tmp_path: Path) -> None:
    path, text, said = breach
    broken = rule(tree(tmp_path, **{path: text}))
    assert any(said in line for line in broken), broken
