"""Stand-ins for the files of LiteRT.js and for npm, so that sites are written without a network."""

import hashlib
import json
import os

from gan_tf.export import runtime

CONTENTS = {name: f"content of {name}".encode() for name in runtime.FILES} | {
    "index.js": b'import { createWasmLib } from "@litertjs/wasm-utils";'
}


def replace_files(monkeypatch):
    """Sets the checksums of LiteRT.js to those of CONTENTS."""
    files = {name: (path, hashlib.sha256(CONTENTS[name]).hexdigest()) for name, (path, _) in runtime.FILES.items()}
    monkeypatch.setattr(runtime, "FILES", files)


def write_packages(folder, version=runtime.VERSION):
    """Writes what npm installs to `folder`; another version has other files."""
    for name, (path, _) in runtime.FILES.items():
        file = folder / "node_modules" / "@litertjs" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(CONTENTS[name] if version == runtime.VERSION else b"other")
    package = folder / "node_modules" / "@litertjs" / "core" / "package.json"
    package.write_text(json.dumps({"version": version}))
    return folder


def write_npm(folder, script):
    """Writes a program `npm` that runs shell code; its first argument is the folder that npm shall fill."""
    folder.mkdir(exist_ok=True)
    program = folder / "npm"
    program.write_text(f'#!/bin/sh\n[ "$1 $2" = "install --prefix" ] || exit 9\nset -- "$3"\n{script}\n')
    program.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"
