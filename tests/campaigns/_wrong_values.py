"""Words that stand nowhere by right: names, paths, numbers, settings, data sets, options; `{S}`: a scratch folder."""

from __future__ import annotations

LONG = "x" * 5000
DEEP = "[" * 3000 + "]" * 3000
HALF = "\ud800"  # half a character, as bytes of another encoding are
LOOK_ALIKE = "d\u043c"  # `dm` with a Cyrillic m

# fmt: off
# Raw values of documents, in the words of every form and of one.
ANYWHERE = [
    "true", "-1", "0", "1.5", '""', "[]", "{}", "[[1]]", "[1, [2]]", "9" * 30, "9" * 5000, f'"{LONG}"', DEEP, "1e400",
    '"\\u001b[31m"', '"\\u202e"', '"\\u0000"', '"c\\u0456far10"', '"DM"', '"../.."', '"/"', '"1"', '"ten"', "-0.0",
]
RAW = {
    "json": [
        *ANYWHERE, "null", "NaN", "Infinity", "-Infinity", '"\\ud800"', "1e999", "01", "'x'", "{", '{"a": 1, "a": 2}',
    ],
    "yaml": [
        *ANYWHERE, "~", ".nan", ".inf", "2020-99-99", "2020-01-01", "!!int abc", "!!timestamp 99", "!!bool maybe",
        "!!float x", "!!binary xyz", "!!set {a, b}", "!!python/object/apply:os.getcwd []", "&a [*a]", "*nobody",
        "0x" + "f" * 400, "yes", "1_000", "190:20:30", "'", '"\\ud800"', "{[a]: 1}", "{<<: 1}", "{<<: [{a: 1}, 2]}",
        "{=: 1}", "@x", "%x",
    ],
    "toml": [
        *ANYWHERE, "nan", "inf", "-inf", "2020-99-99", "2020-01-01", "07:32:00", "2020-01-01T00:00:00Z", "'x'",
        "0x" + "f" * 400, "{a = 1, a = 2}", "[1, 2.0, 'x']", "'''x\n'''", '"\\ud800"', "[", "{", "1__0", "True", "",
        "= 1",
    ],
}
KEYS = [
    "", "x", "Name", LONG, "name\u202e", "1", "path", "claims", "kind", "settings", "__class__", "a.b", "\u0130",
]
NAMES = [
    "", " ", LONG, "x " * 2500, "dm\0", "dm\n", "\x1b[31mdm\x1b[0m", "dm\u202e", LOOK_ALIKE, "DM", "CIFAR10",
    "ResNet18", "ddm", "-", "--", "1", "1e9", "nan", "../dm", "/", ".", "dm,", ",", ":", "dm:", "convnet-", "convnet-d",
    "convnet-d0", "convnet-d99999999999", "convnet-d3-d3", "convnet-d3\n", "timm/", "timm/hf-hub:a/b", f"timm/{LONG}",
    "_layers", "__init__", "\u0130", "e\u0301", "\U0001f600", HALF, "None", "dsa,teacher=x", "soft-label,",
    "soft-label,teacher=", "soft-label,teacher=/dev/zero", "soft-label,teacher=/", "soft-label,teacher=~nobody/x",
    "coverage:", "coverage:x", "coverage:coverage:x", "mlp/", "resnet18-bn-bn", "convnet-d3-w0",
]
PATHS = [
    "", " ", "\t", "x" * 300, "x/" * 2500, LONG, "{S}/loop", "{S}/loop/x", "{S}/fifo", "{S}/nul\0", "{S}/file/x",
    "~nobody-of-this-name/x", "/dev/zero", "/dev/null/x", "{S}/\udcff", "{S}/none", "{S}/socket", "{S}/dangling",
    "{S}/folder.toml", "{S}/new\nline",
]
NUMBERS = [
    "", "-1", "x", "1.5", "nan", "inf", "-inf", "9" * 19, "9" * 30, "9" * 5000, "0x10", "1e9", "\u0661\u0662x",
    "\u00bd", "None", "true", "[1]", "1,000", "1 000", "--", "1\0",
]
SETTINGS = [
    "steps", "image_lr", "network", "augmentation", "real_batch_size", "image_momentum", "real_precision", "step", "x",
    "", "Steps", "__class__", "=", "\0",
]
VALUES = [
    "2020-99-99", "2020-01-01", "nan", ".nan", ".inf", "-.inf", "!!int abc", "!!python/name:os.system", "[1, 2]",
    "{a: 1}", "&a [*a]", "9" * 18, "9" * 30, "9" * 5000, "-1", "0", "1.5", "''", '"\\ud800"', HALF, LONG, "yes", "~",
    "- 1", "*x", "[" * 3000, "1e400", "\x1b[31m", "\u202e", "1_000", "0x" + "f" * 300, "!!binary x", "{<<: {a: 1}}",
    "? x", "|\n x", "a: b: c", "[" * 70 + "]" * 70, "&a {b: *a}",
]
SPECS = [
    "image_folder:", "image_folder: ", "image_folder", "image_folder:a\0b", "image_folder:~nobody-of-this-name",
    "image_folder:{S}/loop", "image_folder:{S}/file", "image_folder:{S}/fifo", f"image_folder:{LONG}",
    "image_folder:{S},size=0", "image_folder:{S},size=nan", "image_folder:{S},size=" + "9" * 5000,
    "image_folder:{S},path={S}", "image_folder:{S}/a,b", "image_folder,path=~nobody-of-this-name", "digits,", ",digits",
    "digits,data_dir=/", "digits,download=true", "digits,download=false", "digits,size=8", "digits,=", "digits,a=",
    "digits,=b", "digits:", "digits:{S}", "digits,seed=1", "digits,self=1", "digits,path=/", "DIGITS", "digits\0", "",
    "digits,options=1", "digits, data_dir = /", "cifar10,size=64", "imagenette,source=/dev/zero",
    "imagenette,source={S}/loop", "imagenette,source=a\0b", "imagenette,size=x", f"imagenette,source={LONG}",
    "imagenette,source=,size=8", "imagenette,size=128,size=128", "imagenette, size=128", "imagenette,source=none",
    "imagenette,size=1e2", "imagenette,size=-64", "imagenette,size=\u0661\u0662\u0668", "tiny_imagenet,size=64",
    "mnist,path={S}", "imagenette,source={S}/fifo", "imagenette,source={S}/file",
]
WORDS = [
    "--out", "--ipc", "--seed", "--nope", "-x", "--", "-", "--set", "--set=", "--format", "--help=1", "--data-dir", "",
    "x", "=", "--no-yes", "--" + LONG, "--\u202e", "--out=", "-o", "--\0", "--level", "--dataset", "--preset=",
    "--device", "--published=1", "judge", "record", HALF, "--out=\n",
]
COMMANDS = [
    "distill", "evaluate", "run", "table", "export", "check", "claims", "compare", "report", "cache", "list",
]
# fmt: on
