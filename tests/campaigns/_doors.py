"""The doors of the command line: for each, cases of a wrong input, as files to write and arguments to give.

`{S}` in an argument is the scratch folder of the case, `{G}` the folder of good things that all cases share: `set`,
`results` (a results folder), `lines.jsonl`, `claims.toml`, `suite.yaml`. A right input is refused too, by a device that
is none, so that no case trains anything.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import struct
from dataclasses import dataclass, field

from hypothesis import strategies as st

from tests.campaigns import _wrong_values as wrong
from tests.campaigns._documents import JUNK, bomb, broken, cubed_merge

NOWHERE = ["--device", "nowhere"]


@dataclass(frozen=True)
class Case:
    """One wrong input.

    Attributes:
        arguments: of the program.
        files: content by name in the scratch folder; a text is a kind of special file.
        codes: exit codes besides 2 that a right input may give here.
    """

    arguments: tuple[str, ...]
    files: dict[str, bytes | str] = field(default_factory=dict)
    codes: tuple[int, ...] = ()


SUITE = {
    "name": "s",
    "description": "a suite",
    "protocol": "quick",
    "datasets": ["digits"],
    "methods": [
        "random_real",
        {"name": "dm", "preset": "dm_cifar10_ipc1", "settings": {"steps": 3}, "ipc": [2], "students": 1},
    ],
    "ipc": [1, 2],
    "networks": ["convnet-d1-w8"],
    "distill_seeds": 2,
    "students": 1,
    "eval_seed": 0,
    "evaluators": ["accuracy"],
    "cross_networks": ["mlp"],
    "share_prepare": False,
    "students_at_once": 1,
}
PRESET = {
    "method": "dm",
    "dataset": "digits",
    "ipc": 1,
    "source": "Made here.",
    "published": "",
    "settings": {"network": "convnet-d1-w8", "steps": 2, "image_lr": 3.0},
}
CELL = {"method": "random_real", "dataset": "digits", "network": "convnet-d1-w8", "ipc": 1}
CLAIMS = {
    "family": "f",
    "level": 0.05,
    "considered": 0,
    "defaults": CELL,
    "claim": [
        {
            "id": "c0",
            "sentence": "A.",
            "kind": "absolute",
            "value": 50.0,
            "margin": 5.0,
            "cell": {"method": "random_real"},
        },
        {
            **{"id": "c1", "sentence": "B.", "kind": "relative", "margin": 0.5, "min_n": 3},
            **{"cell": {"method": "dm"}, "against": {"method": "random_real"}, "test": "t", "paired": True},
        },
        {
            **{"id": "c2", "sentence": "C.", "kind": "scaling", "metric": "distill_seconds", "law": "linear"},
            **{"cell": {"method": "dm"}, "ipc": [1, 10], "tolerance": 0.1, "machine": "any"},
        },
        {"id": "c3", "sentence": "D.", "kind": "speed", "benchmark": "b", "at_least": 1.5},
    ],
}
PUBLISHED = {
    "claim": [
        {
            **{"method": "dm", "dataset": "cifar10", "ipc": 10, "model": "ConvNet-D3", "metric": "test_accuracy"},
            **{"value": 48.9, "std": 0.6, "source": "DM", "via": "DM", "confidence": "read", "kind": "own"},
            **{"protocol": "dc-hard", "resolution": 32, "note": ""},
        }
    ]
}
BENCHMARKS = {"benchmarks": [{"fullname": "tests/b.py::t", "extra_info": {"ratio": 2.0}}], "machine_info": {"a": 1}}
MEASURED = {
    "parts": {
        "machine": {"id": "x", "device": "cuda", "gpu": "g"},
        "results": [],
        "calibration": [
            {
                **{"network": "convnet-d1-w8", "channels": 1, "image_size": 8, "trains": True, "precision": "fp32"},
                **{"per_step": 0.1, "per_image": 0.001},
            }
        ],
    }
}
TRANSFORMER = {
    **{"_class_name": "DiTTransformer2DModel", "num_embeds_ada_norm": 10, "in_channels": 1, "sample_size": 8},
    **{"patch_size": 2, "num_layers": 1, "num_attention_heads": 2, "attention_head_dim": 8, "out_channels": 2},
}

NAMES = st.one_of(st.sampled_from(wrong.NAMES), st.text(min_size=1, max_size=30).map(lambda text: f"no{text}"))
PATHS = st.sampled_from(wrong.PATHS)
SPECIAL: dict[str, bytes | str] = {
    **{"loop": "loop", "dangling": "nothing", "fifo": "fifo", "file": b"x", "socket": "socket"},
    "folder.toml/x": b"",
}
NUMBERS = st.sampled_from(wrong.NUMBERS)
VALUES = st.one_of(st.sampled_from(wrong.VALUES), st.text(max_size=20))
SPECS = st.one_of(
    st.sampled_from(wrong.SPECS),
    st.text(max_size=20).map(lambda text: f"digits,{text}=1"),
    st.text(max_size=20).map(lambda text: f"image_folder:{{S}}/none{text}"),
)


def idx_bytes(draw):
    """A file of the MNIST family that is not one."""
    header = draw(st.sampled_from([b"\0\0\x08\x03", b"\0\0\x08\x01", b"\0\0\x0d\x03", b"\1\2\3\4", b""]))
    shape = [draw(st.sampled_from([0, 1, 2, 28, 2**31, 2**32 - 1])) for _ in range(3)]
    return header + struct.pack(">3I", *shape) + draw(st.binary(max_size=50))


@st.composite
def idx(draw):
    packed = draw(st.booleans())
    content = idx_bytes(draw)
    if packed:
        bomb_or_not = draw(st.sampled_from([content, content + b"\0" * 3_000_000]))
        content = gzip.compress(bomb_or_not)[: draw(st.sampled_from([None, -1, 15]))]
    name = "data/MNIST/raw/train-images-idx3-ubyte" + (".gz" if packed else "")
    arguments = (
        "distill",
        "random_real",
        "--dataset",
        "mnist",
        "--data-dir",
        "{S}/data",
        "--ipc",
        "0",
        "--out",
        "{S}/o",
    )
    return Case(arguments, {name: content})


def header_of(tree):
    """A safetensors file with this header."""
    text = tree if isinstance(tree, bytes) else json.dumps(tree).encode()
    return struct.pack("<Q", len(text)) + text


@st.composite
def tensors(draw):
    """Bytes of a safetensors file gone wrong."""
    entry = {
        "dtype": draw(st.sampled_from(["F32", "U8", "I64", "F4", "x", 1, None])),
        "shape": draw(st.sampled_from([[10, 1, 8, 8], [2**63, 2], [-1], ["a"], [], [0], "x", [2**40, 2**40]])),
        "data_offsets": draw(st.sampled_from([[0, 2560], [0, 2**63], [5, 1], [0], [-1, 4], "x", [0, 0]])),
    }
    good = {"images": entry, "labels": {"dtype": "I64", "shape": [10], "data_offsets": [2560, 2640]}}
    whole = header_of(good) + b"\0" * 2640
    cut = whole[: draw(st.integers(0, len(whole)))]
    claims_more = struct.pack("<Q", draw(st.sampled_from([2**63, 2**31, 10**6, 0]))) + whole[8:]
    deep = header_of(b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}")
    return draw(st.one_of(st.sampled_from([whole, cut, claims_more, deep, header_of(b"\xff"), header_of({})]), JUNK))


def suite_text(content):
    return Case(("run", "{S}/s.yaml", "--dry-run", "--results", "{S}/r", *NOWHERE), {"s.yaml": content})


DISTILL = ("distill", "dm", "--dataset", "digits", "--ipc", "1", "--out", "{S}/new/o", *NOWHERE)
JUDGE = (0, 1, 3)


def claims_text(content):
    return Case(("claims", "{S}/c.toml", "{G}/results"), {"c.toml": content}, JUDGE)


def teacher(content):
    return Case(("teacher", "{S}/t.safetensors"), {"t.safetensors": content})


def backbone(content):
    files = {"b/transformer/config.json": content, "b/transformer/diffusion_pytorch_model.safetensors": b"junk"}
    return Case(("backbone", "{S}/b"), files)


def weights(content):
    return Case(("backbone", "{S}/b.pt"), {"b.pt": content})


def with_name(name):
    """Arguments of every place where a name stands."""
    new = ("--out", "{S}/new/o")
    return st.sampled_from(
        [
            ("distill", name, "--dataset", "digits", "--ipc", "1", *new),
            ("distill", "dm", "--dataset", name, "--ipc", "0", *new),
            ("distill", "dm", "--dataset", "digits", "--ipc", "1", "--preset", name, *new),
            ("distill", "dm", "--dataset", "digits", "--ipc", "1", "--set", f"network={name}", *new, *NOWHERE),
            ("distill", "dm", "--dataset", "digits", "--ipc", "1", "--device", name, *new),
            ("evaluate", "{G}/set", "--protocol", name, "--results", "{S}/r"),
            ("evaluate", "{G}/set", "--network", name, "--students", "1", "--protocol", "quick", "--results", "{S}/r"),
            ("evaluate", "{G}/set", "--evaluator", name, "--results", "{S}/r"),
            ("evaluate", "{G}/set", "--dataset", name, "--results", "{S}/r"),
            ("check", name),
            ("check", name, "dm"),
            ("check", "network", name),
            ("check", "protocol", name),
            ("list", name),
            ("run", name),
            (name,),
            ("bench", name, "--list"),
            ("compare", name, "random_real", "{G}/results"),
            ("compare", name, name),
            ("table", "{G}/results", "--format", name),
            ("doctor", "--download", f"no{name}"),
            ("cache", "--unused", name),
        ]
    )


def with_path(path):
    """Arguments of every place where a path that is read from stands."""
    return st.sampled_from(
        [
            ("table", path),
            ("table", "{G}/results", path),
            ("export", path, "-o", "{S}/x"),
            ("report", path, "-o", "{S}/x.html"),
            ("report", "{G}/results", "--claims", path, "-o", "{S}/x.html"),
            ("evaluate", path),
            ("claims", path, "{G}/results"),
            ("claims", "{G}/claims.toml", path),
            ("claims", "record", path, "-o", "{S}/x"),
            ("compare", path, path),
            ("compare", "dm", "random_real", path),
            ("run", path),
            ("run", "{G}/suite.yaml", "--dry-run", "--calibration", path),
            ("distill", "dm", "--dataset", "digits", "--ipc", "1", "--preset", f"{path}.toml", "--out", "{S}/o"),
            ("distill", "dm", "--dataset", f"image_folder:{path}", "--ipc", "1", "--out", "{S}/o"),
            ("evaluate", "{G}/set", "--protocol", f"soft-label,teacher={path}"),
        ]
    )


def with_place(path):
    """Arguments of every place where a path that is written to stands; what is there may not be replaced."""
    return st.sampled_from(
        [
            ("distill", "dm", "--dataset", "digits", "--ipc", "1", "--out", path, *NOWHERE),
            ("evaluate", "{G}/set", "--results", path, *NOWHERE),
            ("run", "{G}/suite.yaml", "--results", path, *NOWHERE),
            ("evaluate", "{G}/set", "--data-dir", path, "--dataset", "mnist"),
        ]
    )


def with_number(number):
    """Arguments of every place where a number stands."""
    return st.sampled_from(
        [
            ("distill", "dm", "--dataset", "digits", f"--ipc={number}", "--out", "{S}/new/o"),
            ("distill", "dm", "--dataset", "digits", "--ipc", "1", f"--seed={number}", "--out", "{S}/new/o", *NOWHERE),
            ("evaluate", "{G}/set", f"--students={number}", "--results", "{S}/r", *NOWHERE),
            ("evaluate", "{G}/set", f"--seed={number}", "--results", "{S}/r", *NOWHERE),
            ("compare", "random_real", "dm", "{G}/results", f"--level={number}"),
            ("cache", f"--unused={number}"),
        ]
    )


RESULT = {
    **{"key": "0123456789abcdef", "method": "dm", "dataset": "digits", "dataset_fingerprint": "a", "ipc": 1},
    **{"network": "convnet-d1-w8", "students": 1, "distill_seed": 0, "eval_seed": 0, "config": {"steps": 1}},
    **{"protocol": "quick", "protocol_hash": "f58e2342656b", "status": "ok", "reason": "", "space": "normalised"},
    "metrics": [{"name": "test_accuracy", "unit": "fraction", "higher_is_better": True, "values": [0.5], "basis": ""}],
    "phases": [{"name": "distill", "reading": {"seconds": 1.0, "peak_host_bytes": 1}, "cached": False}],
    **{"distilled_bytes": 10, "label_mode": "hard", "student_lr": None, "share_prepare": False, "engine": {"a": 1}},
    **{"machine": {"id": "x", "device": "cpu"}, "versions": {"torch": "2"}, "started_at": "2026-01-01T00:00:00"},
}
SIDECAR = {
    **{"format": "ddbench-distilled-1", "sha256": "{SHA}", "num_classes": 10, "ipc": 1, "space": "pixels"},
    **{"student_lr": None, "whitening": None},
    "provenance": {
        **{"method": "random_real", "config": {}, "distill_seed": 0, "share_prepare": False, "dataset": "digits"},
        **{
            "dataset_fingerprint": "x",
            "class_names": [str(label) for label in range(10)],
            "engine": {},
            "git_commit": "",
        },
        "phases": [{"name": "distill", "reading": {"seconds": 1.0}, "cached": False}],
    },
}
SHOWN = [
    ("table",),
    ("export", "-o", "{S}/out"),
    ("report", "-o", "{S}/out"),
    ("compare", "dm", "random_real"),
    ("claims", "{G}/claims.toml"),
]


@st.composite
def results(draw, content):
    """A result gone wrong, in a cell's folder or as a line, given to a command that shows results."""
    command, *more = draw(st.sampled_from(SHOWN))
    if draw(st.booleans()):
        return Case((command, *more, "{S}/r"), {"r/0123456789abcdef/result.json": draw(content)}, JUDGE)
    return Case(
        (command, *more, "{S}/r.jsonl"), {"r.jsonl": json.dumps(RESULT).encode() + b"\n" + draw(content)}, JUDGE
    )


def sidecar(content):
    return Case(
        ("evaluate", "{S}/set", *NOWHERE),
        {"set/distilled.json": content, "set/distilled.safetensors": "the good set's"},
    )


def set_tensors(content):
    text = json.dumps(SIDECAR).replace("{SHA}", hashlib.sha256(content).hexdigest())
    return Case(
        ("evaluate", "{S}/set", *NOWHERE), {"set/distilled.json": text.encode(), "set/distilled.safetensors": content}
    )


DOORS = {
    "result": results(broken(RESULT, "json")),
    "result, other text": results(JUNK),
    "sidecar": broken(SIDECAR, "json").map(sidecar),
    "sidecar, other text": JUNK.map(sidecar),
    "tensors of a set": tensors().map(set_tensors),
    "suite": broken(SUITE, "yaml").map(suite_text),
    "suite, other text": st.one_of(JUNK, st.sampled_from([bomb().encode(), cubed_merge().encode()])).map(suite_text),
    "preset": broken(PRESET, "toml").map(lambda c: Case((*DISTILL, "--preset", "{S}/p.toml"), {"p.toml": c})),
    "preset, other text": JUNK.map(lambda c: Case((*DISTILL, "--preset", "{S}/p.toml"), {"p.toml": c})),
    "claims": broken(CLAIMS, "toml").map(claims_text),
    "claims, other text": JUNK.map(claims_text),
    "saved benchmark": broken(BENCHMARKS, "json").map(
        lambda c: Case(("claims", "{G}/claims.toml", "{S}/b.json"), {"b.json": c}, JUDGE)
    ),
    "published": broken(PUBLISHED, "toml").map(lambda c: Case(("published", "{S}/p.toml"), {"p.toml": c}, (0,))),
    "measurements": broken(MEASURED, "json").map(lambda c: Case(("measured", "{S}/m"), {"m/doctor.json": c}, (0,))),
    "setting": st.builds(
        lambda key, value: Case((*DISTILL, "--set", f"{key}={value}")), st.sampled_from(wrong.SETTINGS), VALUES
    ),
    "data set": SPECS.map(
        lambda s: Case(
            ("distill", "random_real", "--dataset", s, "--ipc", "0", "--out", "{S}/new/o"),
            {"file": b"x", "loop": "loop", "fifo": "fifo"},
        )
    ),
    "name": NAMES.flatmap(with_name).map(lambda a: Case(a, codes=(0, 1))),
    "path": PATHS.flatmap(with_path).map(lambda a: Case(a, dict(SPECIAL))),
    "place": PATHS.flatmap(with_place).map(lambda a: Case(a, dict(SPECIAL))),
    "number": NUMBERS.flatmap(with_number).map(lambda a: Case(a, codes=(0, 1))),
    "option": st.builds(
        lambda command, words: Case((command, *words), codes=(0, 1)),
        st.sampled_from(wrong.COMMANDS),
        st.lists(st.sampled_from(wrong.WORDS), min_size=1, max_size=4),
    ),
    "idx": idx(),
    "teacher": tensors().map(teacher),
    "backbone": broken(TRANSFORMER, "json").map(backbone),
    "weights": JUNK.map(weights),
}
