"""What makes two models one: whatever decides the results of a `python:` model is its revision."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny_models import UP, write_code

from affectbench.adapters import load_model, prefix
from affectbench.errors import InputError
from affectbench.local_code import origins
from affectbench.types import ModelSpec

BIG = UP.format(2)


def spec_of(target: str) -> ModelSpec:
    """The spec of a model that was built for the occasion."""
    return load_model(target, 2).spec


def built(folder: Path, body: str, options: str = "") -> ModelSpec:
    """The spec of what `build` in this source makes."""
    return spec_of(f"python:{write_code(folder, body)}:build{options}")


def gain_file(path: Path, value: float) -> None:
    """A file with a number."""
    path.write_text(str(value))


def weights_pth(path: Path, value: float) -> None:
    """A file of torch with a tensor."""
    torch.save({"gain": torch.tensor(value)}, path)


def weights_safetensors(path: Path, value: float) -> None:
    """A file of safetensors with a tensor."""
    save_file({"gain": torch.tensor(value)}, path)


def weights_npy(path: Path, value: float) -> None:
    """A file of numpy with an array."""
    np.save(path, np.array([value]))


def weights_script(path: Path, value: float) -> None:
    """A TorchScript program that multiplies."""

    class Gain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = value

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.gain

    torch.jit.save(torch.jit.trace(Gain(), torch.rand(1, 3, 8, 8)), path)


def module(path: Path, value: float) -> None:
    """A neighbour module with a number."""
    path.write_text(f"GAIN = {value}\ndef enlarge(x, up): return up * GAIN\n")


WHEN_BUILT = {
    "torch.load": ("w.pth", weights_pth, "gain = torch.load(W)['gain']", "gain"),
    "torch.load, mapped": ("w.pth", weights_pth, "gain = torch.load(W, mmap=True)['gain']", "gain"),
    "safetensors": (
        "w.safetensors",
        weights_safetensors,
        "from safetensors.torch import load_file; gain = load_file(W)['gain']",
        "gain",
    ),
    "numpy": ("w.npy", weights_npy, "import numpy; gain = numpy.load(W)", "float(gain[0])"),
    "numpy, mapped": (
        "w.npy",
        weights_npy,
        "import numpy; gain = numpy.load(W, mmap_mode='r')",
        "float(gain[0])",
    ),
    "TorchScript": ("w.pt", weights_script, "gain = torch.jit.load(W)", "1 * gain(x).mean()"),
    "open": ("g.txt", gain_file, "gain = float(open(W).read())", "gain"),
    "pathlib": (
        "g.txt",
        gain_file,
        "import pathlib; gain = float(pathlib.Path(W).read_text())",
        "gain",
    ),
    "os.open": (
        "g.txt",
        gain_file,
        "import os; gain = float(os.read(os.open(W, os.O_RDONLY), 9))",
        "gain",
    ),
    "subprocess": (
        "g.txt",
        gain_file,
        "import subprocess; gain = float(subprocess.check_output(['cat', W]))",
        "gain",
    ),
    "neighbour": ("near.py", module, "import near; gain = near.GAIN", "gain"),
    "neighbour's function": ("near.py", module, "import near", "near.enlarge(x, 1.0)"),
    "importlib": (
        "near.py",
        module,
        "import importlib; gain = importlib.import_module('near').GAIN",
        "gain",
    ),
    "by file location": (
        "near.py",
        module,
        "import importlib.util as u; s = u.spec_from_file_location('n', W); "
        "m = u.module_from_spec(s); s.loader.exec_module(m)",
        "m.GAIN",
    ),
    "exec": ("near.py", module, "names = {}; exec(open(W).read(), names)", "names['GAIN']"),
    "runpy": ("near.py", module, "import runpy; gain = runpy.run_path(W)['GAIN']", "gain"),
}


@pytest.mark.parametrize("way", WHEN_BUILT)
def test_what_is_read_while_it_is_built_counts(tmp_path: Path, way: str) -> None:
    name, write, body, gain = WHEN_BUILT[way]
    source = f"W = {str(tmp_path / name)!r}\ndef build():\n    {body}\n"
    source += f"    return lambda x: {BIG} * {gain}"
    found = []
    for value in (1.0, 0.5, 1.0):
        write(tmp_path / name, value)
        found.append(built(tmp_path, source))
    assert not any(spec.revision_lacks for spec in found)
    assert found[0].revision == found[2].revision != found[1].revision


WHEN_CALLED = {
    "open": "float(open(W).read())",
    "pathlib": "float(pathlib.Path(W).read_text())",
    "numpy": "float(np.loadtxt(W))",
    "numpy.fromfile": "float(np.fromfile(W, sep=' ')[0])",
    "glob": "float(sorted(pathlib.Path(W).parent.glob('*.txt'))[0].read_text())",
    "names of a folder": "len(os.listdir(pathlib.Path(W).parent))",
    "variable": "float(os.environ['AB_GAIN'])",
    "getenv": "float(os.getenv('AB_GAIN', '1'))",
}


@pytest.mark.parametrize("way", WHEN_CALLED)
def test_what_is_read_when_it_is_called_counts(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    head = f"import os, pathlib, numpy as np\nW = {str(data / 'g.txt')!r}\n"
    source = head + f"def build(): return lambda x: {BIG} * {WHEN_CALLED[way]}"
    found = []
    for value in (1.0, 0.5, 1.0):
        gain_file(data / "g.txt", value)
        (data / "more").unlink(missing_ok=True)
        if value < 1:
            (data / "more").touch()
        monkeypatch.setenv("AB_GAIN", str(value))
        found.append(built(tmp_path, source))
    assert not any(spec.revision_lacks for spec in found), found[0].revision_lacks
    assert found[0].revision == found[2].revision != found[1].revision


def test_equal_size_and_time_do_not_make_equal_content(tmp_path: Path) -> None:
    weights = tmp_path / "g.txt"
    source = f"def build():\n    g = float(open({str(weights)!r}).read())\n"
    source += f"    return lambda x: {BIG} * g"
    found = []
    for value in (0.5, 0.7):
        gain_file(weights, value)
        os.utime(weights, ns=(10**18, 10**18))
        found.append(built(tmp_path, source).revision)
    assert found[0] != found[1]


def test_the_target_of_a_link_counts(tmp_path: Path) -> None:
    gain_file(tmp_path / "a.txt", 1.0)
    (tmp_path / "g.txt").symlink_to(tmp_path / "a.txt")
    source = f"def build():\n    g = float(open({str(tmp_path / 'g.txt')!r}).read())\n"
    source += f"    return lambda x: {BIG} * g"
    before = built(tmp_path, source).revision
    gain_file(tmp_path / "a.txt", 0.5)
    assert built(tmp_path, source).revision != before


@pytest.mark.parametrize(
    "reading",
    [
        "float((pathlib.Path(folder) / 'g.txt').read_text())",
        "len(list(pathlib.Path(folder).iterdir()))",
        "(pathlib.Path(folder) / 'deep' / 'g.txt').stat().st_size",
    ],
)
def test_a_folder_option_is_all_that_lies_below_it(tmp_path: Path, reading: str) -> None:
    folder = tmp_path / "ck"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "loop").symlink_to(folder)
    source = f"import pathlib\ndef build(folder):\n    g = {reading}\n"
    source += f"    return lambda x: {BIG} * g"
    gain_file(folder / "g.txt", 1.0)
    gain_file(folder / "deep" / "g.txt", 1.0)
    option = f"@folder={folder}"
    first = built(tmp_path, source, option).revision
    assert built(tmp_path, source, option).revision == first
    gain_file(folder / "deep" / "g.txt", 0.25)
    second = built(tmp_path, source, option).revision
    moved = folder.rename(tmp_path / "moved")
    (moved / "deep" / "loop").unlink()
    (moved / "deep" / "loop").symlink_to(moved)
    assert built(tmp_path, source, f"@folder={moved}").revision == second
    gain_file(moved / "g.txt", 0.5)
    gain_file(moved / "new.txt", 0.5)
    third = built(tmp_path, source, f"@folder={moved}").revision
    assert len({first, second, third}) == 3


VALUES = {
    "global": "G = {0}\ndef build(): return lambda x: UP(x) * G",
    "closure": "def build():\n    g = {0}\n    return lambda x: UP(x) * g",
    "default": "def build():\n    def f(x, g={0}): return UP(x) * g\n    return f",
    "keyword default": "def build():\n    def f(x, *, g={0}): return UP(x) * g\n    return f",
    "partial": "import functools\ndef f(x, g): return UP(x) * g\n"
    "def build(): return functools.partial(f, g={0})",
    "attribute": "class M:\n    def __call__(self, x): return UP(x) * self.g\n"
    "def build():\n    m = M()\n    m.g = {0}\n    return m",
    "slot": "class M:\n    __slots__ = ('g',)\n    def __call__(self, x): return UP(x) * self.g\n"
    "def build():\n    m = M()\n    m.g = {0}\n    return m",
    "bound method": "class M:\n    def run(self, x): return UP(x) * self.g\n"
    "def build():\n    m = M()\n    m.g = {0}\n    return m.run",
    "class attribute": "class M:\n    def __call__(self, x): return UP(x) * self.g\n"
    "def build():\n    M.g = {0}\n    return M()",
    "array": "import numpy as np\nclass M:\n"
    "    def __call__(self, x): return UP(x) * float(self.g)\n"
    "def build():\n    m = M()\n    m.g = np.array({0})\n    return m",
    "nested": "def build():\n    d = {{'a': [({0},)]}}\n    return lambda x: UP(x) * d['a'][0][0]",
    "parameter": "class N(torch.nn.Module):\n    def __init__(s):\n        super().__init__()\n"
    "        s.g = torch.nn.Parameter(torch.tensor({0}))\n"
    "    def forward(s, x): return UP(x) * s.g\ndef build(): return N()",
    "buffer": "class N(torch.nn.Module):\n    def __init__(s):\n        super().__init__()\n"
    "        s.register_buffer('g', torch.tensor({0}), persistent=False)\n"
    "    def forward(s, x): return UP(x) * s.g\ndef build(): return N()",
    "hook": "def build():\n    n = torch.nn.Upsample(scale_factor=2)\n    g = {0}\n"
    "    n.register_forward_hook(lambda m, i, o: o * g)\n    return n",
    "patched library": "def build():\n    n = torch.nn.Upsample(scale_factor=2)\n    g = {0}\n"
    "    n.forward = lambda x: UP(x) * g\n    return n",
    "decorated": "g = torch.tensor({0})\n@torch.inference_mode()\ndef f(x): return UP(x) * g\n"
    "def build(): return f",
    "helper of a helper": "G = {0}\ndef a(): return G\ndef b(): return a()\n"
    "def build(): return lambda x: UP(x) * b()",
    "method by name": "class M:\n    def gain(self): return G\n"
    "    def __call__(self, x): return UP(x) * getattr(self, 'ga' + 'in')()\nG = {0}\n"
    "def build(): return M()",
    "made by exec": "def build():\n    n = {{'UP': UP}}\n"
    "    exec('def f(x): return UP(x) * {0}', n)\n    return n['f']",
}


@pytest.mark.parametrize("place", VALUES)
def test_values_count_wherever_a_model_keeps_them(tmp_path: Path, place: str) -> None:
    """The number comes through compiled code from a file, which no event tells of."""
    number = "READ()"
    head = f"import ctypes\nfrom safetensors import safe_open\nW = {str(tmp_path / 'w')!r}\n"
    head += "def READ():\n    with safe_open(W, 'pt') as f: return float(f.get_tensor('gain'))\n"
    head += f"def UP(x): return {BIG}\n"
    body = VALUES[place].format(number if place != "made by exec" else "' + str(READ()) + '")
    found = []
    for value in (1.0, 0.5, 1.0):
        weights_safetensors(tmp_path / "w", value)
        found.append(built(tmp_path, head + body))
    assert not any(spec.revision_lacks for spec in found), found[0].revision_lacks
    assert found[0].revision == found[2].revision != found[1].revision


UNKNOWN = {
    "counter in a global": (
        "N = [0]\ndef build():\n    def f(x):\n        N[0] += 1\n        return UP(x) / N[0]\n"
        "    return f",
        "keeps changes",
    ),
    "counter, global statement": (
        "N = 0\ndef f(x):\n    global N\n    N += 1\n    return UP(x)\ndef build(): return f",
        "keeps changes",
    ),
    "counter in an attribute": (
        "class M:\n    n = 0\n    def __call__(self, x):\n        self.n += 1\n"
        "        return UP(x)\ndef build(): return M()",
        "keeps changes",
    ),
    "weights changed in place": (
        "class N(torch.nn.Module):\n    def __init__(s):\n        super().__init__()\n"
        "        s.g = torch.nn.Parameter(torch.tensor(1.0))\n"
        "    def forward(s, x):\n        s.g.data.mul_(0.9)\n        return UP(x) * s.g\n"
        "def build(): return N()",
        "keeps changes",
    ),
    "random": ("def build(): return lambda x: UP(x) + 0 * torch.rand(1)", "random numbers"),
    "random of Python": (
        "import random\ndef build(): return lambda x: UP(x) * random.random()",
        "random numbers",
    ),
    "random of numpy": (
        "import numpy as np\ndef build(): return lambda x: UP(x) * float(np.random.rand())",
        "random numbers",
    ),
    "a generator without a seed": (
        "import numpy as np\ndef build():\n"
        "    return lambda x: UP(x) * float(np.random.default_rng().random())",
        "differ",
    ),
    "time": (
        "import time\ndef build(): return lambda x: UP(x) * (time.time() > 0)",
        "uses time.time",
    ),
    "time, by name": (
        "from time import time as now\ndef build(): return lambda x: UP(x) * (now() > 0)",
        "uses time.time",
    ),
    "time, imported when called": (
        "def f(x):\n    import time\n    return UP(x) * (time.time() > 0)\ndef build(): return f",
        "uses time",
    ),
    "date": (
        "import datetime\ndef build(): return lambda x: UP(x) * (datetime.datetime.now().year > 0)",
        "uses datetime",
    ),
    "process": (
        "import subprocess\n"
        "def build(): return lambda x: UP(x) * len(subprocess.check_output(['echo']))",
        "starts processes",
    ),
    "system": (
        "import os\ndef build(): return lambda x: UP(x) + os.system('true')",
        "os.system",
    ),
    "os.urandom": (
        "import os\ndef build(): return lambda x: UP(x) + 0 * len(os.urandom(1))",
        "uses os.urandom",
    ),
    "a device": (
        "def build(): return lambda x: UP(x) + 0 * len(open('/dev/urandom', 'rb').read(1))",
        "/dev/urandom",
    ),
    "modules": (
        "import sys\ndef build(): return lambda x: UP(x) + 0 * len(sys.modules)",
        "uses sys",
    ),
    "import by name": (
        "import importlib\n"
        "def build(): return lambda x: UP(x) * importlib.import_module('math').pi",
        "uses importlib",
    ),
    "eval": ("def build(): return lambda x: eval('UP(x)')", "uses eval"),
    "C": (
        "import ctypes\ndef build(): return lambda x: UP(x) + 0 * ctypes.c_int(1).value",
        "uses ctypes",
    ),
    "asking whether there is a file": (
        "import os\ndef build(): return lambda x: UP(x) * (1 + os.path.exists('nowhere'))",
        "exists",
    ),
    "asking a path": (
        "from pathlib import Path\n"
        "def build(): return lambda x: UP(x) * (1 + Path('nowhere').is_file())",
        "asks the file system",
    ),
    "TorchScript read when called": (
        "def build(): return lambda x: UP(x) if x.mean() > -1 else torch.jit.load('w.pt')(x)",
        "torch.jit",
    ),
    "compiled reader when called": (
        "from safetensors import safe_open\n"
        "def build(): return lambda x: UP(x) if x.mean() > -1 else safe_open('w', 'pt')",
        "safe_open",
    ),
    "a mapped tensor when called": (
        "def build(): return lambda x: UP(x) if x.mean() > -1 else torch.from_file('w')",
        "reads files in compiled code",
    ),
    "an open file": (
        "def build():\n    f = open(__file__)\n    return lambda x: UP(x) + 0 * len(f.read())",
        "TextIOWrapper",
    ),
    "a lock": (
        "import threading\ndef build():\n    l = threading.Lock()\n"
        "    def f(x):\n        with l: return UP(x)\n    return f",
        "lock",
    ),
    "an object that resists": (
        "class D(dict):\n    def items(self): raise KeyError\n"
        "    def __call__(self, x): return UP(x)\ndef build(): return D()",
        "cannot be looked through",
    ),
    "a deep chain": (
        "def build():\n    deep = []\n    for _ in range(5000): deep = [deep]\n"
        "    return lambda x: UP(x) + 0 * len(deep)",
        "nested too deeply",
    ),
    "a generator": (
        "def build():\n    g = (i for i in range(99))\n    return lambda x: UP(x) * (next(g) >= 0)",
        "generator",
    ),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_what_cannot_be_known_is_said(tmp_path: Path, what: str) -> None:
    body, reason = UNKNOWN[what]
    spec = built(tmp_path, f"def UP(x): return {BIG}\n{body}")
    assert reason in spec.revision_lacks


KNOWN = {
    "a plain function": "def build(): return UP",
    "a printing one": "import time\ndef f(x):\n    print('.', end='')\n    time.sleep(0)\n"
    "    return UP(x)\ndef build(): return f",
    "one with numpy and Pillow": "import math, numpy as np\nfrom PIL import Image\n"
    "def f(x):\n    a = np.asarray(Image.fromarray(np.zeros((2, 2), np.uint8)).resize((4, 4)))\n"
    "    return UP(x) + float(a.sum()) * math.pi + x.new_tensor(np.sqrt(0.0))\n"
    "def build(): return f",
    "a seeded generator": "def build():\n    def f(x):\n"
    "        g = torch.Generator().manual_seed(1)\n"
    "        return UP(x) + 0 * torch.rand(1, generator=g)\n    return f",
    "a network": "import torch.nn as nn, torch.nn.functional as F, logging\n"
    "from dataclasses import dataclass\nfrom functools import lru_cache\nimport os\n"
    "log = logging.getLogger(__name__)\n"
    "@dataclass\nclass Config:\n    width: int = 4\n"
    "@lru_cache\ndef window(n): return torch.ones(n)\n"
    "class Block(nn.Module):\n    def __init__(self, c: Config):\n        super().__init__()\n"
    "        assert os.path.exists('/')\n        torch.manual_seed(0)\n"
    "        self.conv = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.GELU(), "
    "nn.PixelShuffle(2))\n"
    "        self.c = c\n"
    "    def load(self, path):\n        if os.path.isfile(path):\n"
    "            self.load_state_dict(torch.load(path))\n"
    "    @property\n    def width(self): return self.c.width\n"
    "    def forward(self, x: torch.Tensor) -> torch.Tensor:\n        log.debug('x')\n"
    "        y = F.gelu(self.conv(x)) * window(1) * self.width\n"
    "        return torch.clamp(F.interpolate(x, scale_factor=2, mode='bilinear') + 0 * y, 0, 1)\n"
    "def build(device): return Block(Config()).to(device)",
}


@pytest.mark.parametrize("what", KNOWN)
def test_ordinary_models_are_known_whole(tmp_path: Path, what: str) -> None:
    source = f"def UP(x): return {BIG}\n{KNOWN[what]}"
    first, again = built(tmp_path, source), built(tmp_path, source)
    assert not first.revision_lacks and first.revision_from
    assert first.revision == again.revision
    (tmp_path / "elsewhere").mkdir()
    assert built(tmp_path / "elsewhere", source).revision == first.revision
    assert built(tmp_path, source + "\n# changed").revision != first.revision


def test_a_revision_can_be_vouched_for(tmp_path: Path) -> None:
    body = f"import time\ndef build(gain='1'): return lambda x: {BIG} * (time.time() > 0)"
    mine = built(tmp_path, body, "@revision=v1")
    assert mine.revision_lacks == "" and mine.revision_from == "@revision=v1"
    assert built(tmp_path, body + "\n# changed", "@revision=v1").revision == mine.revision
    assert built(tmp_path, body, "@revision=v2").revision != mine.revision
    assert built(tmp_path, body, "@revision=v1@gain=2").revision != mine.revision


def test_what_is_written_is_not_read(tmp_path: Path) -> None:
    body = f"def f(x):\n    with open({str(tmp_path / 'log')!r}, 'a') as out: out.write('.')\n"
    body += f"    return {BIG}\ndef build(): return f"
    first = built(tmp_path, body)
    assert first == built(tmp_path, body) and not first.revision_lacks


def test_random_numbers_are_not_used_up(tmp_path: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    built(tmp_path, f"def build(): return lambda x: {BIG} + torch.rand(1)")
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("kind", ["released", "from a folder", "no distribution"])
def test_installed_code_is_known_by_its_version(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    about = site / "abnets-1.dist-info"
    monkeypatch.syspath_prepend(site)

    def revision(version: str, gain: float) -> str:
        about.mkdir(parents=True, exist_ok=True)
        (site / "abnets.py").write_text(f"def enlarge(x): return {BIG} * {gain}\nimport torch\n")
        if kind != "no distribution":
            (about / "METADATA").write_text(f"Name: abnets\nVersion: {version}\n")
            (about / "top_level.txt").write_text("abnets\n")
        if kind == "from a folder":
            (about / "direct_url.json").write_text('{"url": "file:///x", "dir_info": {}}')
        monkeypatch.delitem(sys.modules, "abnets", raising=False)
        for cached in (origins.origin_of, origins._distributions):
            cached.cache_clear()
        importlib.invalidate_caches()
        return built(tmp_path, "import abnets\ndef build(): return abnets.enlarge").revision

    first = revision("1", 1.0)
    assert revision("1", 1.0) == first
    assert (revision("1", 0.5) == first) == (kind == "released")
    assert (revision("2", 1.0) == first) == (kind != "released")


def test_code_in_memory_that_is_no_longer_in_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    target = "python:ab_edited:build"
    text = f"import torch\ndef build(): return lambda x: {BIG} * 0.5"
    path = tmp_path / "ab_edited.py"
    path.write_text(text)
    before = spec_of(target).revision
    path.write_text(text.replace("0.5", "0.25"))
    stale = spec_of(target).revision
    monkeypatch.delitem(sys.modules, "ab_edited")
    assert len({before, stale, spec_of(target).revision}) == 3


@pytest.mark.parametrize("way", ["from abpack.deep import low", "from .deep import low"])
def test_modules_of_modules_count(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    deep = tmp_path / "abpack" / "deep"
    deep.mkdir(parents=True)
    for folder in (deep, deep.parent):
        (folder / "__init__.py").touch()
    (deep.parent / "top.py").write_text(f"import torch\n{way}\n{way}\ndef build(): return low.up")
    found = []
    for gain in (1.0, 0.5):
        (deep / "low.py").write_text(f"from abpack.deep import lower\ndef up(x): return {BIG}")
        (deep / "lower.py").write_text(f"UNUSED = {gain}")
        for name in [name for name in sys.modules if name.startswith("abpack")]:
            monkeypatch.delitem(sys.modules, name)
        importlib.invalidate_caches()
        first = spec_of("python:abpack.top:build").revision
        assert spec_of("python:abpack.top:build").revision == first  # all are imported by now
        found.append(first)
    assert found[0] != found[1]


def test_too_large_a_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefix, "MOST_FILES", 2)
    folder = tmp_path / "ck"
    folder.mkdir()
    for name in "abc":
        (folder / name).touch()
    with pytest.raises(InputError, match=r"more than 2 files.*@revision=TEXT"):
        built(tmp_path, f"def build(d): return lambda x: {BIG}", f"@d={folder}")
    assert built(tmp_path, f"def build(d): return lambda x: {BIG}", f"@d={folder}@revision=1")


def test_an_option_of_words_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = f"def build(): return lambda x: {BIG}"
    found = []
    for content in ("1", "2"):
        (tmp_path / "MIT").write_text(content)
        found.append(built(tmp_path, source, "@licence=MIT").revision)
    assert found[0] == found[1]


def test_weights_that_lie_elsewhere_are_the_same(tmp_path: Path) -> None:
    source = "def build(w):\n    def f(x): return " + BIG + " * float(open(w).read())\n    return f"
    gain_file(tmp_path / "a.txt", 0.5)
    first = built(tmp_path, source, f"@w={tmp_path / 'a.txt'}")
    (tmp_path / "a.txt").rename(tmp_path / "b.txt")
    again = built(tmp_path, source, f"@w={tmp_path / 'b.txt'}")
    assert first.revision == again.revision and not first.revision_lacks


def test_exchanged_files_are_not_the_same(tmp_path: Path) -> None:
    a, b = tmp_path / "a.txt", tmp_path / "b.txt"
    source = f"def f(x): return {BIG} * float(open({str(a)!r}).read()) + float(open({str(b)!r})"
    source += ".read())\ndef build(): return f"
    found = []
    for one, other in ((0.5, 0.25), (0.25, 0.5)):
        gain_file(a, one)
        gain_file(b, other)
        found.append(built(tmp_path, source).revision)
    assert found[0] != found[1]
