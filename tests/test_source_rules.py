"""Rules of the source code: which function to use in place of a call that would break a promise of the program."""

import ast
import re
from pathlib import Path

import pytest

from gan_tf.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
POSIX_MODULES = "fcntl|grp|posix|pty|pwd|resource|termios|tty"
POSIX_NAMES = (
    "killpg|getpgid|setsid|sched_getaffinity|getuid|geteuid|fork|O_NOFOLLOW|"
    "SIGHUP|SIGKILL|SIGSTOP|SIGQUIT|SIGALRM|SIGUSR1|SIGUSR2|setitimer|alarm"
)
COMMAND = rf"(gan-tf ({'|'.join(COMMANDS)})|python \S+\.py|tensorboard)( (--[\w-]+|[A-Z]+|{{}}|\d\S*))* $"
SUGGESTION = r"(give|use|with|it:) --(dataset|init-from|run|checkpoints|out|weights|logdir) $"
OPENS = r"zipfile\.ZipFile\(|tarfile\.open\(|Image\.open\(|np\.load\(|\bmap_file\(|read_json\(self\._config"
BINARY = r"'(r|w|a|r\+)b'|'r:|O_WRONLY|\b(Image|archive|file_format|av)\."
TAKES_PATH = (  # in libraries that read [ and * as patterns
    r"(read|write|restore|save|load|latest|matching|match)(_\w+)?|\w*([Ww]riter|Dataset|Reader)|Asset|InferenceSession|"
    r"from_saved_model|list_files|start|builder|glob|rename|remove|copy|exists|isdir|makedirs|rmtree|GFile"
)
FOR_TENSORFLOW = rf"\b(tf|tfds|keras|onnx|onnxruntime)\.(\S*\b({TAKES_PATH})\(|[\w.]+\(([^()]*, )?(str|os\.fspath)\()"
CAUGHT = {"OSError", "IOError", "PermissionError", "Exception", "BaseException", "DAMAGED"}
REMOVING = {  # {file: functions}. Before you add one: which files of the user may be there, and does it keep them?
    "datasets/catalogue.py": "open_few_shot",
    "gan_tf/cli/convert.py": "convert remove_parts",
    "gan_tf/data/cache.py": "writing",
    "gan_tf/data/prepare.py": "_make_smaller",
    "gan_tf/distributed/workers.py": "require_shared_folder",
    "gan_tf/export/android.py": "debug_key",
    "gan_tf/export/formats.py": "output",
    "gan_tf/export/runtime.py": "_download",
    "gan_tf/faces/results.py": "_remove_windows remove write_npz write_folder",
    "gan_tf/io/files.py": "check_writable part_file remove_parts",
    "gan_tf/metrics/features.py": "compute",
    "gan_tf/pretrained/downloads.py": "fetch _download",
    "gan_tf/pretrained/lpips.py": "_keep_convolutions",
    "gan_tf/runs/folder.py": "cut remove_checkpoints remove_snapshot",
    "gan_tf/sampling/image_writer.py": "missing_seeds _folder_writer",
    "gan_tf/training/log.py": "cut",
    "gan_tf/training/resume.py": "start_run",
}


class Source:
    """A file of source code. `code` has one line for each statement, without comments and docstrings."""

    def __init__(self, name, text):
        self.name, self.lines, tree = name, text.splitlines(), ast.parse(text)
        self.nodes = list(ast.walk(tree))
        for node in self.nodes:
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                node.value.value = ...
        self.code = ast.unparse(tree)


SOURCES = [
    Source(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
    for folder in ("gan_tf", "datasets", "benchmarks", "deploy")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


def printed_words(source):
    """Finds values in printed commands that are not quoted."""
    for node in source.nodes:
        before = ""
        for value in node.values if isinstance(node, ast.JoinedStr) else ():
            code = value.value if isinstance(value, ast.Constant) else ast.unparse(value.value)
            is_right = isinstance(value, ast.Constant) or re.match(r"quote\(|resolution$|kept\.images_seen$", code)
            if re.search(f"{COMMAND}|{SUGGESTION}", before) and not is_right:
                yield before + code
            before += code if isinstance(value, ast.Constant) else "{}"


def silent_handlers(source):
    """Finds handlers of a system's error that raise neither it nor the fault of a disk, and have no such comment."""
    functions = {"raise_fault", "reason_of"}
    functions |= {  # of this file, which make an exception of an error
        node.name
        for node in source.nodes
        if isinstance(node, ast.FunctionDef) and re.search(r"def \w+\(.*\berror\b[\s\S]*reason_of\(", ast.unparse(node))
    }
    for node in source.nodes:
        kind = node.type or ast.Name("Exception") if isinstance(node, ast.ExceptHandler) else node
        if kind is node and ast.unparse(getattr(node, "func", ast.Pass())) != "contextlib.suppress":
            continue
        inside, line = list(ast.walk(node)), source.lines[node.lineno - 1].strip()
        again = any(isinstance(part, ast.Raise) and part.exc is None for part in inside)
        names = {getattr(part, "id", "") for part in inside}
        is_right = again or names & functions or "# reads no file" in line
        if CAUGHT & {getattr(part, "id", "") for part in ast.walk(kind)} and not is_right:
            yield line


def removals(source):
    """Finds functions, other than those of REMOVING, that remove or replace files."""

    def removes(node):
        function = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        if function.endswith(".replace") and function not in ("os.replace", "dataclasses.replace"):  # also of text
            return len(node.args) == 1 and not node.keywords
        return re.fullmatch(r".*\.(unlink|rmtree|rmdir|removedirs|rename)|os\.(remove|replace)|shutil\.move", function)

    for node in source.nodes:
        known = REMOVING.get(source.name, "").split()
        if isinstance(node, ast.FunctionDef) and node.name not in known and any(map(removes, ast.walk(node))):
            yield node.name


class Rule:
    """A pattern, or a function, that finds code which breaks a rule; an example of it; files that may have it.

    The programs in benchmarks/ and deploy/ must follow only the rules that apply `everywhere`.
    """

    def __init__(self, find, example, *allowed, everywhere=False):
        self.find, self.example = find, example
        self.allowed = allowed if everywhere else (*allowed, "benchmarks/", "deploy/")

    def places(self, source):
        """Returns the places in a source that break the rule, except if it may."""
        if source.name.startswith(self.allowed):
            return []
        matches = () if callable(self.find) else re.finditer(self.find, source.code, re.MULTILINE)
        found = self.find(source) if callable(self.find) else [match[0].splitlines()[-1] for match in matches]
        return [f"{source.name}: {code}" for code in found]


RULES = {  # {what to do: Rule}
    "json_text makes all JSON text, without NaN and Infinity": Rule(
        r"\bjson\.(dumps?|JSONEncoder)\b|from json import", "json.dumps(x)", "gan_tf/io/json_text.py", everywhere=True
    ),
    "take_lock locks files, also where the file system has no locks": Rule(
        r"(import|from) (fcntl|msvcrt|filelock)\b", "import filelock", "gan_tf/io/locks.py"
    ),
    "data.images decodes the images of users, with their profile and orientation": Rule(
        r"\bImage\.open\b|\.(imread|load_img|decode_(image|png|jpeg|bmp|gif))\b",
        "tf.io.decode_png(x)",
        *("gan_tf/data/images.py", "gan_tf/io/image_files.py"),
    ),
    "a module that opens files of users calls reason_of, which names a web page or a Git LFS pointer as that": Rule(
        rf"\A(?![\s\S]*(reason_of|with reading)\()[\s\S]*({OPENS})",
        "zipfile.ZipFile(path)",
        *("gan_tf/faces/results.py", "gan_tf/sampling/image_writer.py", "gan_tf/io/arrays.py"),  # own files
    ),
    "tensorflow_path makes all paths for TensorFlow, TFDS and others, which read [ and * as patterns": Rule(
        rf"^(?!.*(tensorflow_path\(|\bdef )).*({FOR_TENSORFLOW}|\bInterpreter\(|\(.*data_dir=)", "tf.io.gfile.glob(x)"
    ),
    "glob.escape escapes names in patterns": Rule(
        r"^(?!.*(glob\.escape|\bdef )).*(\.r?glob\((?!')|list_folder\([^,]*, [^'])", "list_folder(x, f'{name}.*')"
    ),
    "REMOVING lists the functions that remove or replace files: only those of the program": Rule(
        removals, "def clean():\n    path.unlink()"
    ),
    "raise_fault comes first in a handler of errors of reading; else its line ends with: # reads no file: REASON": Rule(
        silent_handlers, "with contextlib.suppress(OSError):\n    path.read_bytes()"
    ),
    "list_folder, walk, exists and read_rows raise the error of a failing disk, which these ignore": Rule(
        r"\bos\.walk\b|os\.path\.(exists|isfile|isdir)\b|\.r?glob\(|fromfile\b",
        "os.walk(folder)",
        *("gan_tf/export/comparison.py", "gan_tf/export/formats.py"),  # folders that were just written
    ),
    "quote makes each word of a printed command": Rule(printed_words, "f'run: gan-tf generate {folder}'"),
    "quote, not shlex, makes names printable": Rule(r"(import|from) shlex\b", "import shlex", "gan_tf/io/shell.py"),
    "text files have encoding='utf-8'": Rule(
        rf"^(?!.*(encoding=|{BINARY})).*\b(open|read_text|write_text|fdopen|NamedTemporaryFile)\(", "path.read_text()"
    ),
    "Windows lacks this module: import it within `try`": Rule(
        rf"(?<!try:\n    )\b(import|from) ({POSIX_MODULES})\b", "import resource"
    ),
    "Windows lacks this name: use it on a line with `hasattr`, or in the launcher, which refuses to start there": Rule(
        rf"^(?!.*hasattr).*\b(os|signal)\.({POSIX_NAMES})\b", "os.killpg(group, 9)", "gan_tf/distributed/launcher.py"
    ),
}


@pytest.mark.parametrize("advice", RULES)
def test_source_code_follows_the_rule(advice):
    rule = RULES[advice]
    assert rule.places(Source("gan_tf/bad.py", rule.example)), "the rule does not find its example"
    found = [place for source in SOURCES for place in rule.places(source)]
    assert not found, "\n".join([advice, *found])
